/* How a tool is pointed at Relay, with a key that was just made. */

#include <stdio.h>
#include <string.h>

#include "relayctl_api.h"

/* $U the base URL without /v1, $K the key. */
static const struct {
    const char *tool;
    const char *text;
} snippets[] = {
    {"claude-code", "export ANTHROPIC_BASE_URL=$U\n"
                    "export ANTHROPIC_AUTH_TOKEN=$K\n"
                    "claude\n"},
    {"codex", "# ~/.codex/config.toml\n"
              "model_provider = \"relay\"\n"
              "[model_providers.relay]\n"
              "name = \"Relay\"\n"
              "base_url = \"$U/v1\"\n"
              "env_key = \"RELAY_KEY\"\n"
              "wire_api = \"responses\"\n"
              "# then: export RELAY_KEY=$K\n"},
    {"openai-python", "from openai import OpenAI\n"
                      "client = OpenAI(base_url=\"$U/v1\", api_key=\"$K\")\n"},
    {"openai-node", "import OpenAI from \"openai\";\n"
                    "const client = new OpenAI({baseURL: \"$U/v1\", apiKey: \"$K\"});\n"},
    {"anthropic-python", "from anthropic import Anthropic\n"
                         "client = Anthropic(base_url=\"$U\", api_key=\"$K\")\n"},
    {"anthropic-node", "import Anthropic from \"@anthropic-ai/sdk\";\n"
                       "const client = new Anthropic({baseURL: \"$U\", apiKey: \"$K\"});\n"},
    {"genai-python", "from google import genai\n"
                     "client = genai.Client(api_key=\"$K\","
                     " http_options={\"base_url\": \"$U/gemini\"})\n"},
    {"genai-node", "import { GoogleGenAI } from \"@google/genai\";\n"
                   "const client = new GoogleGenAI({apiKey: \"$K\","
                   " httpOptions: {baseUrl: \"$U/gemini\"}});\n"},
    {"curl", "curl $U/v1/chat/completions \\\n"
             "  -H 'Authorization: Bearer $K' \\\n"
             "  -H 'Content-Type: application/json' \\\n"
             "  -d '{\"model\": \"relay/echo\", \"messages\": [{\"role\": \"user\","
             " \"content\": \"Hello\"}]}'\n"},
};

bool relayctl_snippet_known(const char *tool)
{
    for (size_t i = 0; i < sizeof(snippets) / sizeof(snippets[0]); i++)
        if (strcmp(tool, snippets[i].tool) == 0)
            return true;
    return false;
}

bool relayctl_snippet(const char *tool, const char *url, const char *key)
{
    for (size_t i = 0; i < sizeof(snippets) / sizeof(snippets[0]); i++) {
        if (strcmp(tool, snippets[i].tool) != 0)
            continue;
        for (const char *p = snippets[i].text; *p != '\0'; p++) {
            if (*p == '$' && (p[1] == 'U' || p[1] == 'K'))
                fputs(*++p == 'U' ? url : key, stdout);
            else
                putchar(*p);
        }
        return true;
    }
    return false;
}

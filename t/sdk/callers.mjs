// The SDKs that call, for tests of translated calls. One row is one SDK with one
// format: how it is asked (in the words of `read` in upstreams.mjs), and what its
// own parsers and helpers make of the answer. A further caller is a row of
// `callers`.
//
//     format, dialect     what it speaks
//     tells               what its answers can say: a stop sequence, thinking, thinking that
//                         nobody has signed, a refusal in words, tokens written to a cache, the
//                         headers of an error; what is not false it can
//     takes               what its requests can say: stop sequences, images by URL, one call at
//                         a time
//     wrapped(text)       what it makes of a tool's result, if not a text
//     variants            whether it is tried with the variants of formats, too
//     error_class         of all its errors, if they have no classes of their own
//     create, stream      (stack, request, options): the answer, in the words of stories.mjs;
//                         options: signal, onText, headers, apiKey, and those of the client
//     errors              its words for faults; unchecked where it has none
//     returns             'create', 'stream': where its helper sends back what was thought
//     run                 the same with its helper that calls tools: handler(input)
//     parse               with its helper for a schema: the value
//     failed(error)       {type, status, message, wire, header, told, left}

import assert from 'node:assert/strict';

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { APICallError, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { genai } from './caller_genai.mjs';
import { responses } from './caller_responses.mjs';
import { clientOptions, filled, options, present, sdkFailed } from './calling.mjs';
import { anthropic, openai } from './clients.mjs';
import { RELAY_KEY } from './stack.mjs';

// ---- OpenAI's SDK, chat completions ---------------------------------------------

const chatStops = { stop: 'end', length: 'length', tool_calls: 'tools', content_filter: 'refusal' };

function chatParts({ text, images }) {
  if (!images) return text;
  return [
    ...images.map(({ media_type, data, url = `data:${media_type};base64,${data}` }) =>
      media_type === 'application/pdf'
        ? { type: 'file', file: { filename: 'a.pdf', file_data: url } }
        : { type: 'image_url', image_url: { url } },
    ),
    { type: 'text', text },
  ];
}

function chatMessages({ system, messages }) {
  const list = system ? [{ role: 'system', content: system }] : [];
  for (const { role, text, images, calls, results } of messages) {
    for (const { id, text: content } of results ?? []) list.push({ role: 'tool', tool_call_id: id, content });
    if (role === 'assistant') {
      const tool_calls = calls?.map(({ id, name, input }) => ({
        id,
        type: 'function',
        function: { name, arguments: JSON.stringify(input) },
      }));
      list.push(present({ role, content: text ?? null, tool_calls }));
    } else if (text !== undefined) {
      list.push({ role, content: chatParts({ text, images }) });
    }
  }
  return list;
}

function chatBody(request) {
  const named = request.tools?.some(({ name }) => name === request.choice);
  return present({
    model: request.model,
    messages: chatMessages(request),
    tools: request.tools?.map(({ name, description, schema }) => ({
      type: 'function',
      function: present({ name, description, parameters: schema }),
    })),
    tool_choice: named ? { type: 'function', function: { name: request.choice } } : request.choice,
    parallel_tool_calls: request.serial ? false : undefined,
    max_completion_tokens: request.max_tokens,
    stop: request.stop,
  });
}

function chatAnswer({ choices, usage, id, model }) {
  assert.ok(id.length > 0 && model.length > 0, 'the answer has an id and a model');
  const [{ message, finish_reason }] = choices;
  const calls = message.tool_calls?.map(({ id: call, function: { name, arguments: input } }) => ({
    id: call,
    name,
    input: JSON.parse(input),
  }));
  return present({
    text: message.refusal ?? message.content ?? '',
    calls: filled(calls),
    thinking: message.reasoning_content,
    stop: message.refusal ? 'refusal' : chatStops[finish_reason],
    usage: usage && {
      input: usage.prompt_tokens,
      cached: usage.prompt_tokens_details.cached_tokens,
      written: usage.prompt_tokens_details.cache_write_tokens,
      output: usage.completion_tokens,
      reasoning: usage.completion_tokens_details.reasoning_tokens,
    },
  });
}

const chat = {
  name: 'openai, chat',
  format: 'openai-chat',
  dialect: 'openai',
  tells: { sequence: false, thinking: true, unsigned: true },
  takes: { stop: true, url: true, serial: true },
  variants: true,
  errors: { limited: 'rate_limit_error', overloaded: 'service_unavailable_error', failed: 'server_error' },
  async create(stack, request, more = {}) {
    const { data, response } = await openai(stack, clientOptions(more))
      .chat.completions.create(chatBody(request), options(more))
      .withResponse();
    return { ...chatAnswer(data), headers: response.headers };
  },
  async stream(stack, request, more = {}) {
    const body = { ...chatBody(request), stream_options: { include_usage: true } };
    const stream = openai(stack, clientOptions(more)).chat.completions.stream(body, options(more));
    let thinking = ''; // its helper adds up the members that it knows, and keeps the last of others
    stream.on('content', (piece) => piece && more.onText?.(piece));
    stream.on('chunk', ({ choices }) => (thinking += choices[0]?.delta.reasoning_content ?? ''));
    return present({ ...chatAnswer(await stream.finalChatCompletion()), thinking: thinking || undefined });
  },
  async run(stack, request, handler, { stream }) {
    const tools = request.tools.map(({ name, description, zod }) =>
      zodFunction({ name, description, parameters: zod, function: handler }),
    );
    const runner = openai(stack).chat.completions.runTools({ ...chatBody(request), tools, stream });
    return chatAnswer(await runner.finalChatCompletion());
  },
  async parse(stack, request, schema, { stream }) {
    const body = { ...chatBody(request), response_format: zodResponseFormat(schema, 'weather') };
    const { completions } = openai(stack).chat;
    const answer = await (stream ? completions.stream(body).finalChatCompletion() : completions.parse(body));
    return answer.choices[0].message.parsed;
  },
  failed: (error) => sdkFailed(error, OpenAI, error.error),
};

// ---- Anthropic's SDK, messages ---------------------------------------------------

const messagesStops = {
  end_turn: 'end',
  max_tokens: 'length',
  tool_use: 'tools',
  stop_sequence: 'sequence',
  refusal: 'refusal',
};

function messagesSource({ media_type, data, url }) {
  return url ? { type: 'url', url } : { type: 'base64', media_type, data };
}

function messagesContent({ text, images, calls, results }) {
  return [
    ...(results ?? []).map(({ id, text: content }) => ({ type: 'tool_result', tool_use_id: id, content })),
    ...(images ?? []).map((image) => ({
      type: image.media_type === 'application/pdf' ? 'document' : 'image',
      source: messagesSource(image),
    })),
    ...(text === undefined ? [] : [{ type: 'text', text }]),
    ...(calls ?? []).map((call) => ({ type: 'tool_use', ...call })),
  ];
}

function messagesChoice({ tools, choice, serial }) {
  if (!choice && !serial) return undefined;
  const named = tools?.some(({ name }) => name === choice);
  const type = named ? 'tool' : ({ required: 'any' }[choice] ?? choice ?? 'auto');
  return present({ type, name: named ? choice : undefined, disable_parallel_tool_use: serial });
}

function messagesBody(request) {
  return present({
    model: request.model,
    max_tokens: request.max_tokens ?? 1000,
    system: request.system,
    messages: request.messages.map((message) => ({ role: message.role, content: messagesContent(message) })),
    tools: request.tools?.map(({ name, description, schema }) => present({ name, description, input_schema: schema })),
    tool_choice: messagesChoice(request),
    stop_sequences: request.stop,
  });
}

function messagesAnswer({ content, stop_reason, stop_sequence, stop_details, usage, id, model }) {
  assert.ok(id.length > 0 && model.length > 0, 'the answer has an id and a model');
  const of = (type) => content.filter((block) => block.type === type);
  return present({
    text:
      of('text')
        .map(({ text }) => text)
        .join('') || (stop_details?.explanation ?? ''),
    calls: filled(of('tool_use').map(({ id: call, name, input }) => ({ id: call, name, input }))),
    thinking: of('thinking')[0]?.thinking,
    stop: messagesStops[stop_reason],
    sequence: stop_sequence ?? undefined,
    usage: {
      input: usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
      cached: usage.cache_read_input_tokens,
      written: usage.cache_creation_input_tokens,
      output: usage.output_tokens,
      reasoning: usage.output_tokens_details?.thinking_tokens,
    },
  });
}

const messages = {
  name: 'anthropic, messages',
  format: 'anthropic-messages',
  dialect: 'anthropic',
  tells: { sequence: true, thinking: true, unsigned: false },
  returns: ['create', 'stream'],
  takes: { stop: true, url: true, serial: true },
  variants: true,
  errors: { limited: 'rate_limit_error', overloaded: 'overloaded_error', failed: 'api_error' },
  async create(stack, request, more = {}) {
    const { data, response } = await anthropic(stack, clientOptions(more))
      .messages.create(messagesBody(request), options(more))
      .withResponse();
    return { ...messagesAnswer(data), headers: response.headers };
  },
  async stream(stack, request, more = {}) {
    const stream = anthropic(stack, clientOptions(more)).messages.stream(messagesBody(request), options(more));
    stream.on('text', (piece) => more.onText?.(piece));
    return messagesAnswer(await stream.finalMessage());
  },
  async run(stack, request, handler, { stream }) {
    const tools = request.tools.map(({ name, description, zod }) =>
      betaZodTool({ name, description, inputSchema: zod, run: handler }),
    );
    const runner = anthropic(stack).beta.messages.toolRunner({ ...messagesBody(request), tools, stream });
    return messagesAnswer(await runner.runUntilDone());
  },
  async parse(stack, request, schema, { stream }) {
    const body = { ...messagesBody(request), output_config: { format: zodOutputFormat(schema) } };
    const client = anthropic(stack).messages;
    return (await (stream ? client.stream(body).finalMessage() : client.parse(body))).parsed_output;
  },
  failed: (error) => sdkFailed(error, Anthropic, error.error?.error),
};

// ---- the AI SDK ------------------------------------------------------------------

const aiStops = { stop: 'end', length: 'length', 'tool-calls': 'tools', 'content-filter': 'refusal' };

function aiContent({ role, text, images, calls }) {
  return [
    ...(images ?? []).map(({ media_type: mediaType, data, url }) =>
      mediaType === 'application/pdf'
        ? { type: 'file', data, mediaType, filename: 'a.pdf' }
        : present({ type: 'image', image: url ? new URL(url) : data, mediaType }),
    ),
    ...(text === undefined ? [] : [{ type: 'text', text }]),
    ...(role === 'assistant' ? (calls ?? []) : []).map(({ id: toolCallId, name: toolName, input }) => ({
      type: 'tool-call',
      toolCallId,
      toolName,
      input,
    })),
  ];
}

function aiMessages(list) {
  return list.flatMap((message) => {
    const results = message.results?.map(({ id: toolCallId, text: value }) => ({
      type: 'tool-result',
      toolCallId,
      toolName: 'forecast',
      output: { type: 'text', value },
    }));
    const content = aiContent(message);
    return [
      ...(results ? [{ role: 'tool', content: results }] : []),
      ...(content.length ? [{ role: message.role, content }] : []),
    ];
  });
}

function aiOptions(model, request, { signal, headers }) {
  const named = request.tools?.some(({ name }) => name === request.choice);
  return present({
    model,
    system: request.system,
    messages: aiMessages(request.messages),
    tools:
      request.tools &&
      Object.fromEntries(
        request.tools.map(({ name, description, schema }) => [
          name,
          tool({ description, inputSchema: jsonSchema(schema) }),
        ]),
      ),
    toolChoice: named ? { type: 'tool', toolName: request.choice } : request.choice,
    providerOptions: {
      openai: present({
        store: model.provider === 'openai.responses' ? false : undefined, // or what it said goes back as a reference
        parallelToolCalls: request.serial ? false : undefined,
      }),
      anthropic: present({ disableParallelToolUse: request.serial }),
      google: { thinkingConfig: { includeThoughts: true } },
    },
    maxOutputTokens: request.max_tokens,
    stopSequences: request.stop,
    abortSignal: signal,
    headers,
    maxRetries: 0,
  });
}

function aiAnswer({ text, toolCalls, reasoningText, finishReason, usage }) {
  return present({
    text,
    calls: filled(toolCalls.map(({ toolCallId: id, toolName: name, input }) => ({ id, name, input }))),
    thinking: reasoningText,
    stop: aiStops[finishReason],
    usage: {
      input: usage.inputTokens,
      cached: usage.inputTokenDetails.cacheReadTokens,
      written: usage.inputTokenDetails.cacheWriteTokens,
      output: usage.outputTokens,
      reasoning: usage.outputTokenDetails.reasoningTokens,
    },
  });
}

// Its streams tell of errors in an event.
async function aiStream(result, onText) {
  for await (const part of result.fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'abort') throw new DOMException('left', 'AbortError');
    if (part.type === 'text-delta') onText?.(part.text);
  }
  const names = ['text', 'toolCalls', 'reasoningText', 'finishReason', 'usage'];
  const values = await Promise.all(names.map((name) => result[name]));
  return aiAnswer(Object.fromEntries(names.map((name, i) => [name, values[i]])));
}

const quiet = { onError: () => {} };

function aiTools(request, handler) {
  return Object.fromEntries(
    request.tools.map(({ name, description, zod: inputSchema }) => [
      name,
      tool({ description, inputSchema, execute: (input) => handler(input) }),
    ]),
  );
}

function ai(row, model) {
  return {
    ...row,
    error_class: 'APICallError',
    variants: false,
    async create(stack, request, more = {}) {
      const result = await generateText(aiOptions(model(stack, request, more), request, more));
      return { ...aiAnswer(result), headers: new Headers(result.response.headers) };
    },
    stream(stack, request, more = {}) {
      const asked = { ...aiOptions(model(stack, request, more), request, more), ...quiet };
      return aiStream(streamText(asked), more.onText);
    },
    async run(stack, request, handler, { stream }) {
      const asked = {
        ...aiOptions(model(stack, request, {}), request, {}),
        tools: aiTools(request, handler),
        stopWhen: stepCountIs(3),
      };
      return stream ? aiStream(streamText({ ...asked, ...quiet })) : aiAnswer(await generateText(asked));
    },
    async parse(stack, request, schema, { stream }) {
      const asked = {
        ...aiOptions(model(stack, request, {}), request, {}),
        output: Output.object({ schema, name: 'weather' }),
        providerOptions: { anthropic: { structuredOutputMode: 'outputFormat' }, openai: { store: false } },
      };
      if (!stream) return (await generateText(asked)).output;
      const result = streamText({ ...asked, ...quiet });
      await result.consumeStream();
      return result.output;
    },
    failed(error) {
      const body = error.data?.error ?? error;
      return {
        type: APICallError.isInstance(error) ? 'APICallError' : error.constructor.name,
        status: error.statusCode,
        message: body.message,
        wire: body.type ?? body.status,
        header: (name) => error.responseHeaders?.[name],
        told: error.name !== 'AbortError' && !/fetch failed|terminated/.test(error.message),
        left: error.name === 'AbortError',
      };
    },
  };
}

const aiChat = ai(
  {
    ...chat,
    name: 'ai, OpenAI chat',
    tells: { sequence: false, thinking: false, unsigned: false },
  },
  (stack, request, more) =>
    createOpenAI({ baseURL: `${stack.url}/v1`, apiKey: more.apiKey ?? RELAY_KEY }).chat(request.model),
);

const aiAnthropic = ai(
  { ...messages, name: 'ai, Anthropic', tells: { ...messages.tells, sequence: false, refusal: false } },
  (stack, request, more) =>
    createAnthropic({ baseURL: `${stack.url}/v1`, apiKey: more.apiKey ?? RELAY_KEY })(request.model),
);

const aiResponses = ai({ ...responses, name: 'ai, OpenAI Responses' }, (stack, request, more) =>
  createOpenAI({ baseURL: `${stack.url}/v1`, apiKey: more.apiKey ?? RELAY_KEY }).responses(request.model),
);

const aiGoogle = ai(
  {
    ...genai,
    name: 'ai, Google',
    tells: { ...genai.tells, refusal: false },
    takes: { ...genai.takes, url: false },
    wrapped: (content) => JSON.stringify({ name: 'forecast', content }),
  },
  (stack, request, more) =>
    createGoogleGenerativeAI({ baseURL: `${stack.url}/gemini/v1beta`, apiKey: more.apiKey ?? RELAY_KEY })(request.model),
);

export const callers = [chat, responses, messages, genai, aiChat, aiResponses, aiAnthropic, aiGoogle];

// A tool, for every SDK.
export const forecastInput = z.object({
  city: z.string(),
  days: z.number().int(),
  more: z.array(z.union([z.object({ deep: z.null() }), z.number()])),
});
export const forecastSchema = {
  type: 'object',
  properties: {
    city: { type: 'string', description: 'with “nord”' },
    days: { type: 'integer' },
    more: { type: 'array' },
  },
  required: ['city', 'days', 'more'],
};

// A row of callers.mjs: Google's SDK.

import assert from 'node:assert/strict';

import { ApiError } from '@google/genai';
import { z } from 'zod';

import { filled, present } from './calling.mjs';
import { google } from './clients.mjs';

function parts({ text, images, calls, results }, names) {
  return [
    ...(results ?? []).map(({ id, text: output }) => ({
      functionResponse: { id, name: names.get(id), response: { output } },
    })),
    ...(images ?? []).map(({ media_type: mimeType = 'image/png', data, url }) =>
      url ? { fileData: { mimeType, fileUri: url } } : { inlineData: { mimeType, data } },
    ),
    ...(text === undefined ? [] : [{ text }]),
    ...(calls ?? []).map(({ id, name, input: args }) => ({ functionCall: { id, name, args } })),
  ];
}

function contents(messages) {
  const names = new Map(messages.flatMap(({ calls }) => calls ?? []).map(({ id, name }) => [id, name]));
  return messages.map((message) => ({
    role: message.role === 'assistant' ? 'model' : 'user',
    parts: parts(message, names),
  }));
}

function calling({ tools, choice }) {
  if (!choice) return undefined;
  const named = tools.some(({ name }) => name === choice);
  const mode = named || choice === 'required' ? 'ANY' : choice.toUpperCase();
  return { functionCallingConfig: present({ mode, allowedFunctionNames: named ? [choice] : undefined }) };
}

function body(request, { signal, headers } = {}) {
  return {
    model: request.model,
    contents: contents(request.messages),
    config: present({
      systemInstruction: request.system,
      maxOutputTokens: request.max_tokens,
      stopSequences: request.stop,
      tools: request.tools && [
        {
          functionDeclarations: request.tools.map(({ name, description, schema }) => ({
            name,
            description,
            parametersJsonSchema: schema,
          })),
        },
      ],
      toolConfig: calling(request),
      thinkingConfig: { includeThoughts: true },
      abortSignal: signal,
      httpOptions: headers && { headers },
    }),
  };
}

const stops = { STOP: 'end', MAX_TOKENS: 'length', SAFETY: 'refusal' };

function stopOf({ finishReason }, calls) {
  return finishReason === 'STOP' && calls ? 'tools' : stops[finishReason];
}

function added(list) {
  return list.length ? list.map(({ text }) => text).join('') : undefined;
}

// One answer, or the chunks of a stream; usage and the end are of the last.
function answer(chunks) {
  const all = chunks.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
  const { usageMetadata: usage, candidates, responseId, modelVersion } = chunks.at(-1);
  assert.ok(responseId.length > 0 && modelVersion.length > 0, 'the answer has an id and a model');
  const calls = filled(
    all
      .filter(({ functionCall }) => functionCall)
      .map(({ functionCall: { id, name, args: input } }) => ({ id, name, input })),
  );
  const stop = stopOf(candidates[0], calls);
  const text = added(all.filter((part) => part.text !== undefined && !part.thought)) ?? '';
  return present({
    text: text || (candidates[0].finishMessage ?? ''),
    calls,
    thinking: added(all.filter(({ thought }) => thought)),
    stop,
    usage: {
      input: usage.promptTokenCount,
      cached: usage.cachedContentTokenCount,
      output: usage.candidatesTokenCount + usage.thoughtsTokenCount,
      reasoning: usage.thoughtsTokenCount,
    },
  });
}

async function streamed(stack, asked, more = {}) {
  const chunks = [];
  for await (const chunk of await models(stack, more).generateContentStream(asked)) {
    chunks.push(chunk);
    const { content } = chunk.candidates?.[0] ?? {};
    const text = added((content?.parts ?? []).filter((part) => part.text && !part.thought));
    if (text) more.onText?.(text);
  }
  return chunks;
}

// The headers of the last response, for errors: the SDK has them for answers alone.
let last;

function models(stack, { apiKey } = {}) {
  last = undefined;
  return google(stack, present({ apiKey, onResponse: ({ headers }) => (last = headers) })).models;
}

// What its helper wants: declarations, and who answers the calls.
function callable(request, handler) {
  return {
    tool: async () => body(request).config.tools[0],
    callTool: (calls) =>
      Promise.all(
        calls.map(async ({ id, name, args }) => ({
          functionResponse: { id, name, response: { output: await handler(args) } },
        })),
      ),
  };
}

// In the message of an error is the body that came; of one in a stream behind a few words.
function bodyOf({ message }) {
  try {
    return JSON.parse(message.replace(/^got status: \w+\. /, '')).error;
  } catch {
    return { message };
  }
}

export const genai = {
  name: 'google, genai',
  format: 'gemini',
  dialect: 'gemini',
  tells: { sequence: false, thinking: true, unsigned: true, written: false, refusal: 'part' },
  returns: ['create', 'stream'],
  takes: { stop: true, url: true, serial: false },
  error_class: 'ApiError',
  errors: { limited: 'RESOURCE_EXHAUSTED', overloaded: 'UNAVAILABLE', failed: 'INTERNAL', invalid: 'INVALID_ARGUMENT' },
  async create(stack, request, more = {}) {
    const response = await models(stack, more).generateContent(body(request, more));
    return { ...answer([response]), headers: new Headers(response.sdkHttpResponse.headers) };
  },
  async stream(stack, request, more = {}) {
    return answer(await streamed(stack, body(request, more), more));
  },
  async run(stack, request, handler, { stream }) {
    const asked = body(request);
    asked.config.tools = [callable(request, handler)];
    if (!stream) return answer([await models(stack).generateContent(asked)]);
    const chunks = await streamed(stack, asked);
    return answer(chunks.slice(1 + chunks.findLastIndex(({ functionCalls }) => functionCalls)));
  },
  async parse(stack, request, schema, { stream }) {
    const asked = body(request);
    asked.config.responseMimeType = 'application/json';
    asked.config.responseJsonSchema = z.toJSONSchema(schema);
    const chunks = stream ? await streamed(stack, asked) : [await models(stack).generateContent(asked)];
    return JSON.parse(chunks.map(({ text }) => text ?? '').join(''));
  },
  failed(error) {
    const { message, status } = bodyOf(error);
    return {
      type: error.constructor.name,
      status: error.status,
      message,
      wire: status,
      header: (name) => last?.get(name),
      told: error instanceof ApiError,
      left: error.name === 'AbortError',
    };
  },
};

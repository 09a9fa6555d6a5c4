// A row of upstreams.mjs: Gemini. The model is in the path, and so is whether the
// answer is a stream.

import { UPSTREAM_PREFIX } from './mock.mjs';
import { Conversation, joined, pieces, present } from './reading.mjs';
import { FAULT_TEXT, RETRY_AFTER_S, USAGE } from './stories.mjs';

const usageMetadata = {
  promptTokenCount: USAGE.input,
  cachedContentTokenCount: USAGE.cached,
  candidatesTokenCount: USAGE.output - USAGE.reasoning,
  thoughtsTokenCount: USAGE.reasoning,
  totalTokenCount: USAGE.input + USAGE.output,
};

// ---- reading ------------------------------------------------------------------

function readPart(turn, part) {
  if (part.inlineData) turn.images.push({ media_type: part.inlineData.mimeType, data: part.inlineData.data });
  else if (part.fileData) turn.images.push({ url: part.fileData.fileUri });
  else if (part.functionCall) {
    const { id, name, args: input } = part.functionCall;
    turn.calls.push(present({ id, name, input, signature: part.thoughtSignature }));
  } else if (part.functionResponse) {
    const { id, response } = part.functionResponse;
    turn.results.push({ ...(id && { id }), text: response.output ?? response.result ?? response.error });
  } else if (part.thought) turn.thinking = [part.text, part.thoughtSignature];
  else {
    turn.texts.push(part.text);
    if (part.thoughtSignature) turn.signature = part.thoughtSignature;
  }
}

function readChoice({ mode, allowedFunctionNames }) {
  return allowedFunctionNames?.[0] ?? { ANY: 'required' }[mode] ?? mode.toLowerCase();
}

function read(body) {
  const conversation = new Conversation();
  const { generationConfig: settings = {}, toolConfig } = body;
  for (const { role, parts } of body.contents) {
    for (const part of parts) readPart(conversation.turn(role === 'model' ? 'assistant' : 'user'), part);
  }
  return present({
    system: body.systemInstruction && joined(body.systemInstruction.parts),
    messages: conversation.read(),
    tools: body.tools
      ?.flatMap(({ functionDeclarations }) => functionDeclarations)
      .map(({ name, description, parametersJsonSchema: schema }) => present({ name, description, schema })),
    choice: toolConfig && readChoice(toolConfig.functionCallingConfig),
    max_tokens: settings.maxOutputTokens,
    stop: settings.stopSequences,
    schema: settings.responseJsonSchema,
  });
}

// ---- answers ------------------------------------------------------------------

const reasons = { end: 'STOP', length: 'MAX_TOKENS', tools: 'STOP', sequence: 'STOP', refusal: 'SAFETY' };

function chunk(model, parts, candidate, more) {
  const content = { role: 'model', parts };
  return { candidates: [{ content, index: 0, ...candidate }], ...more, modelVersion: model, responseId: 'r-story' };
}

function callParts(turn) {
  return (turn.calls ?? []).map(({ id, name, input: args }, i) =>
    present({ functionCall: { id, name, args }, thoughtSignature: i === 0 ? turn.signature : undefined }),
  );
}

function ending(turn) {
  const more = turn.refusal ? { finishMessage: turn.refusal } : {};
  return [{ finishReason: reasons[turn.stop], ...more }, { usageMetadata }];
}

function whole(turn, model) {
  const parts = [];
  if (turn.thinking) parts.push({ text: turn.thinking, thought: true });
  if (turn.pieces) {
    parts.push(present({ text: [...turn.pieces].join(''), thoughtSignature: turn.signature }));
  }
  return chunk(model, [...parts, ...callParts(turn)], ...ending(turn));
}

// The signature of a text is in a part of its own, behind it; otherwise the first call has it.
function* events(turn, { model }) {
  for (const text of pieces(turn.thinking ?? '', 9)) yield [chunk(model, [{ text, thought: true }])];
  for (const text of turn.pieces ?? []) yield [chunk(model, [{ text }])];
  if (turn.then === 'error') yield [{ error: { code: 500, message: FAULT_TEXT.failed, status: 'INTERNAL' } }];
  if (turn.then) return;
  for (const part of callParts(turn)) yield [chunk(model, [part])];
  const thoughtSignature = turn.pieces && turn.signature;
  yield [chunk(model, [{ text: '', ...(thoughtSignature && { thoughtSignature }) }], ...ending(turn))];
}

const faults = {
  invalid: [400, 'INVALID_ARGUMENT'],
  missing: [404, 'NOT_FOUND'],
  limited: [429, 'RESOURCE_EXHAUSTED', { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${RETRY_AFTER_S}s` }],
  failed: [500, 'INTERNAL'],
  overloaded: [503, 'UNAVAILABLE'],
  key: [400, 'INVALID_ARGUMENT', { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }],
};

export const gemini = {
  format: 'gemini',
  dialect: 'gemini',
  host: 'gemini',
  path: ({ model, stream }) =>
    `/v1beta/models/${UPSTREAM_PREFIX}${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
  streams: ({ path }) => path.includes(':stream'),
  tells: { sequence: false, signed: 'calls', refusal: 'apart', written: false, reasoning: true },
  takes: { stop: true, url: true, serial: false, cache: false },
  headers: { 'x-gemini-service-tier': 'standard', 'x-other': 'kept' },
  private_header: 'x-gemini-service-tier',
  own_delay: true,
  read,
  whole,
  events,
  frame: (value) => `data: ${JSON.stringify(value)}\r\n\r\n`,
  status: (name) => faults[name][0],
  fault(name) {
    const [code, status, ...details] = faults[name];
    return [code, { error: { code, message: FAULT_TEXT[name], status, ...(details.length ? { details } : {}) } }];
  },
};

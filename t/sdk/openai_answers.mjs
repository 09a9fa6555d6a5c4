// What the mock answers in OpenAI's formats: one script for each model name.

import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

const CREATED_S = 1760000000;

export const CHAT_TEXT = 'Grüße aus Tromsø – the kettle is on. 🫖';
export const CHAT_PIECES = ['Grüße aus ', 'Tromsø – ', 'the kettle', ' is on. 🫖'];
export const CHAT_USAGE = {
  prompt_tokens: 31,
  completion_tokens: 17,
  total_tokens: 48,
  prompt_tokens_details: { cached_tokens: 8, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 5,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
};
export const TOOL_ARGUMENTS = '{"city": "Tromsø", "days": 2}';
export const TOOL_ANSWER = 'It will snow for two days.';
export const RESPONSE_TEXT = 'A lighthouse keeper counts the ships.';
export const RESPONSE_USAGE = {
  input_tokens: 22,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens: 19,
  output_tokens_details: { reasoning_tokens: 6 },
  total_tokens: 41,
};
export const EMBEDDINGS = [
  [0.25, -1.5, 3, 0.0625],
  [-0.125, 2, 0, 8.5],
];
export const REQUEST_ID = 'req_provider_0001';
const requestId = { 'x-request-id': REQUEST_ID, 'openai-processing-ms': '12' };

// ---- chat -------------------------------------------------------------------

function completion(model, message, finish_reason) {
  return {
    id: 'chatcmpl-sdk1',
    object: 'chat.completion',
    created: CREATED_S,
    model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: null, refusal: null, annotations: [], ...message },
        logprobs: null,
        finish_reason,
      },
    ],
    usage: CHAT_USAGE,
    service_tier: 'default',
    system_fingerprint: 'fp_sdk',
  };
}

function toolCall(id) {
  return { id, type: 'function', function: { name: 'forecast', arguments: TOOL_ARGUMENTS } };
}

class ChatStream {
  constructor(request, reply) {
    this.reply = reply;
    this.asked = request.body.stream_options?.include_usage === true;
    this.head = {
      id: 'chatcmpl-sdk2',
      object: 'chat.completion.chunk',
      created: CREATED_S,
      model: request.body.model,
      system_fingerprint: 'fp_sdk',
    };
    reply.beginEvents(requestId);
  }

  send(delta, finish_reason = null) {
    return this.reply.event({
      ...this.head,
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
      ...(this.asked ? { usage: null } : {}),
    });
  }

  async finish(finish_reason) {
    await this.send({}, finish_reason);
    if (this.asked) await this.reply.event({ ...this.head, choices: [], usage: CHAT_USAGE });
    await this.reply.event('[DONE]');
    this.reply.end();
  }
}

async function streamText(request, reply, pieces) {
  const stream = new ChatStream(request, reply);
  await stream.send({ role: 'assistant', content: '', refusal: null });
  for (const piece of pieces) await stream.send({ content: piece });
  await stream.finish('stop');
}

async function streamTool(request, reply) {
  const stream = new ChatStream(request, reply);
  const start = { index: 0, id: 'call_sdk1', type: 'function', function: { name: 'forecast', arguments: '' } };
  await stream.send({ role: 'assistant', content: null, tool_calls: [start] });
  for (const piece of TOOL_ARGUMENTS.match(/.{1,6}/gsu)) {
    await stream.send({ tool_calls: [{ index: 0, function: { arguments: piece } }] });
  }
  await stream.finish('tool_calls');
}

function chat(request, reply) {
  if (request.body.stream) return streamText(request, reply, CHAT_PIECES);
  return reply.json(200, completion(request.body.model, { content: CHAT_TEXT }, 'stop'), requestId);
}

// Calls the tool until the conversation ends with the tool's result.
function tools(request, reply) {
  const done = request.body.messages.at(-1).role === 'tool';
  if (request.body.stream) return done ? streamText(request, reply, [TOOL_ANSWER]) : streamTool(request, reply);
  const message = done ? { content: TOOL_ANSWER } : { tool_calls: [toolCall('call_sdk1')] };
  return reply.json(200, completion(request.body.model, message, done ? 'stop' : 'tool_calls'), requestId);
}

function structured(request, reply) {
  const content = JSON.stringify({ city: 'Tromsø', degrees: -4.5 });
  return reply.json(200, completion(request.body.model, { content }, 'stop'), requestId);
}

// What the user said, word by word.
function repeats(request, reply) {
  return streamText(request, reply, request.body.messages.at(-1).content.split(/(?<= )/));
}

// Compressed, if that was asked for.
function gzipped(request, reply) {
  const { model } = request.body;
  const answer = completion(model, { content: CHAT_TEXT }, 'stop');
  if (!/\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) return reply.json(200, answer, requestId);
  reply.response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip', ...requestId });
  return reply.response.end(gzipSync(JSON.stringify(answer)));
}

// Text until the caller leaves.
async function endless(request, reply) {
  const stream = new ChatStream(request, reply);
  await stream.send({ role: 'assistant', content: '' });
  for (let i = 0; i < 500 && (await stream.send({ content: `word ${i} ` })); i += 1) await sleep(10);
}

// A little text, and then nothing.
async function stalled(request, reply) {
  const stream = new ChatStream(request, reply);
  await stream.send({ role: 'assistant', content: '' });
  await stream.send({ content: 'wait' });
}

async function failsMidway(request, reply) {
  const stream = new ChatStream(request, reply);
  await stream.send({ role: 'assistant', content: '' });
  await stream.send({ content: 'So far' });
  await reply.event({
    error: { message: 'the model tripped', type: 'server_error', param: null, code: 'server_error' },
  });
  reply.end();
}

async function cutMidway(request, reply) {
  const stream = new ChatStream(request, reply);
  await stream.send({ role: 'assistant', content: '' });
  await stream.send({ content: 'So far' });
  await sleep(30);
  reply.cut();
}

// ---- responses --------------------------------------------------------------

function messageItem(status, content) {
  return { type: 'message', id: 'msg_sdk1', role: 'assistant', status, content };
}

function outputText(text) {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function callItem(status, args) {
  return { type: 'function_call', id: 'fc_sdk1', call_id: 'call_sdk9', name: 'forecast', status, arguments: args };
}

function responseObject(model, status, output, usage = null) {
  return {
    id: 'resp_sdk1',
    object: 'response',
    created_at: CREATED_S,
    status,
    model,
    output,
    usage,
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
  };
}

async function streamResponse(request, reply) {
  const { model } = request.body;
  let sequence_number = 0;
  const send = (type, more) => reply.event({ type, sequence_number: sequence_number++, ...more }, type);
  const text = { item_id: 'msg_sdk1', output_index: 0, content_index: 0 };
  const call = { item_id: 'fc_sdk1', output_index: 1 };
  const message = messageItem('completed', [outputText(RESPONSE_TEXT)]);
  reply.beginEvents(requestId);
  await send('response.created', { response: responseObject(model, 'in_progress', []) });
  await send('response.in_progress', { response: responseObject(model, 'in_progress', []) });
  await send('response.output_item.added', { output_index: 0, item: messageItem('in_progress', []) });
  await send('response.content_part.added', { ...text, part: outputText('') });
  for (const delta of RESPONSE_TEXT.match(/.{1,8}/gs)) {
    await send('response.output_text.delta', { ...text, delta, logprobs: [] });
  }
  await send('response.output_text.done', { ...text, text: RESPONSE_TEXT, logprobs: [] });
  await send('response.content_part.done', { ...text, part: outputText(RESPONSE_TEXT) });
  await send('response.output_item.done', { output_index: 0, item: message });
  await send('response.output_item.added', { output_index: 1, item: callItem('in_progress', '') });
  for (const delta of TOOL_ARGUMENTS.match(/.{1,9}/gsu)) {
    await send('response.function_call_arguments.delta', { ...call, delta });
  }
  await send('response.function_call_arguments.done', { ...call, name: 'forecast', arguments: TOOL_ARGUMENTS });
  await send('response.output_item.done', { output_index: 1, item: callItem('completed', TOOL_ARGUMENTS) });
  const output = [message, callItem('completed', TOOL_ARGUMENTS)];
  await send('response.completed', { response: responseObject(model, 'completed', output, RESPONSE_USAGE) });
  reply.end();
}

function response(request, reply) {
  const { model, stream } = request.body;
  if (request.path.endsWith('/input_tokens')) {
    return reply.json(200, { object: 'response.input_tokens', input_tokens: 123 }, requestId);
  }
  if (request.path.endsWith('/compact')) {
    const output = [{ type: 'compaction', id: 'cmp_sdk1', encrypted_content: 'c2hvcnRlcg==' }];
    const compacted = { id: 'resp_sdk2', object: 'response.compaction', created_at: CREATED_S, output };
    return reply.json(200, { ...compacted, usage: RESPONSE_USAGE }, requestId);
  }
  if (stream) return streamResponse(request, reply);
  const output = [
    { type: 'reasoning', id: 'rs_sdk1', summary: [], encrypted_content: 'b3BhcXVl' },
    messageItem('completed', [outputText(RESPONSE_TEXT)]),
  ];
  return reply.json(200, responseObject(model, 'completed', output, RESPONSE_USAGE), requestId);
}

// A little text, then one more event or the end of the connection.
function responseBreaks(last) {
  return async (request, reply) => {
    const { model } = request.body;
    const text = { item_id: 'msg_sdk1', output_index: 0, content_index: 0 };
    const events = [
      ['response.created', { response: responseObject(model, 'in_progress', []) }],
      ['response.output_item.added', { output_index: 0, item: messageItem('in_progress', []) }],
      ['response.content_part.added', { ...text, part: outputText('') }],
      ['response.output_text.delta', { ...text, delta: 'So far', logprobs: [] }],
      ...(last ? [last(model)] : []),
    ];
    reply.beginEvents(requestId);
    for (const [i, [type, more]] of events.entries()) await reply.event({ type, sequence_number: i, ...more }, type);
    if (last) return reply.end();
    await sleep(30);
    return reply.cut();
  };
}

const tripped = { code: 'server_error', message: 'the model tripped' };

function errorEvent() {
  return ['error', { error: { type: 'server_error', param: null, ...tripped } }];
}

function failedEvent(model) {
  return ['response.failed', { response: { ...responseObject(model, 'failed', []), error: tripped } }];
}

// ---- embeddings -------------------------------------------------------------

function base64(vector) {
  const bytes = Buffer.alloc(4 * vector.length);
  vector.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
  return bytes.toString('base64');
}

function embedding(request, reply) {
  const encode = request.body.encoding_format === 'base64' ? base64 : (vector) => vector;
  const data = EMBEDDINGS.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) }));
  return reply.json(
    200,
    { object: 'list', data, model: request.body.model, usage: { prompt_tokens: 9, total_tokens: 9 } },
    requestId,
  );
}

// ---- errors -----------------------------------------------------------------

function refuses(status, error, headers = {}) {
  return (request, reply) =>
    reply.json(status, { error: { param: null, code: null, ...error } }, { ...requestId, ...headers });
}

const limited = refuses(
  429,
  { message: 'slow down', type: 'requests', code: 'rate_limit_exceeded' },
  { 'retry-after': '1' },
);

export const openaiScripts = {
  chat,
  tools,
  structured,
  repeats,
  gzipped,
  endless,
  stalled,
  silent: () => {},
  'fails-midway': failsMidway,
  'cut-midway': cutMidway,
  response,
  'response-error': responseBreaks(errorEvent),
  'response-failed': responseBreaks(failedEvent),
  'response-cut': responseBreaks(),
  embedding,
  'vendor/chat-v1': chat,
  'error-400': refuses(400, {
    message: 'that temperature does not exist',
    type: 'invalid_request_error',
    param: 'temperature',
    code: 'unsupported_value',
  }),
  'error-401': refuses(401, {
    message: 'Incorrect API key provided',
    type: 'invalid_request_error',
    code: 'invalid_api_key',
  }),
  'error-404': refuses(404, { message: 'no such deployment', type: 'invalid_request_error', code: 'model_not_found' }),
  'error-409': refuses(409, { message: 'in use', type: 'invalid_request_error' }),
  'error-422': refuses(422, { message: 'cannot make sense of it', type: 'invalid_request_error' }),
  'error-429': refuses(
    429,
    { message: 'slow down', type: 'requests', code: 'rate_limit_exceeded' },
    { 'retry-after': '7' },
  ),
  'error-429-bare': refuses(429, { message: 'slow down', type: 'tokens', code: 'rate_limit_exceeded' }),
  'error-500': refuses(500, { message: 'it broke', type: 'server_error' }),
  'error-503': refuses(503, { message: 'overloaded', type: 'service_unavailable_error', code: 'server_is_overloaded' }),
  'limited-once': (request, reply) => (request.turn === 1 ? limited : chat)(request, reply),
};

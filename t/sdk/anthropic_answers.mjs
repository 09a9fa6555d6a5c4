// What the mock answers in Anthropic's format: one script for each model name.

import { setTimeout as sleep } from 'node:timers/promises';

export const TEXT = 'Två koppar kaffe – ☕☕ och en bulle.';
export const PIECES = ['Två koppar', ' kaffe – ☕☕', ' och en bulle.'];
export const THINKING = 'The caller wants coffee. Count the cups first.';
export const SIGNATURE = 'c2lnbmF0dXJlLW9mLXRoZS10aG91Z2h0cw==';
export const TOOL_INPUT = { city: 'Luleå', cups: 2, extras: ['milk', { sugar: true }] };
export const USAGE = {
  input_tokens: 12,
  cache_creation_input_tokens: 30,
  cache_read_input_tokens: 7,
  output_tokens: 25,
  service_tier: 'standard',
};
export const REQUEST_ID = 'req_provider_0002';
const requestId = { 'request-id': REQUEST_ID, 'anthropic-organization-id': 'org-of-the-provider' };

function message(model, content, stop_reason) {
  return {
    id: 'msg_sdk1',
    type: 'message',
    role: 'assistant',
    model,
    content,
    stop_reason,
    stop_sequence: null,
    usage: USAGE,
  };
}

// ---- streams ----------------------------------------------------------------

class MessageStream {
  constructor(request, reply) {
    this.reply = reply;
    this.model = request.body.model;
    this.index = -1;
    reply.beginEvents(requestId);
  }

  send(type, more = {}) {
    return this.reply.event({ type, ...more }, type);
  }

  start() {
    const { output_tokens, ...usage } = USAGE;
    const empty = { ...message(this.model, [], null), usage: { ...usage, output_tokens: 1 } };
    return this.send('message_start', { message: empty });
  }

  open(content_block) {
    this.index += 1;
    return this.send('content_block_start', { index: this.index, content_block });
  }

  delta(type, more) {
    return this.send('content_block_delta', { index: this.index, delta: { type, ...more } });
  }

  close() {
    return this.send('content_block_stop', { index: this.index });
  }

  async text(pieces) {
    await this.open({ type: 'text', text: '' });
    for (const text of pieces) await this.delta('text_delta', { text });
    await this.close();
  }

  async finish(stop_reason) {
    await this.send('message_delta', {
      delta: { stop_reason, stop_sequence: null },
      usage: { output_tokens: USAGE.output_tokens },
    });
    await this.send('message_stop');
    this.reply.end();
  }
}

async function streamText(request, reply) {
  const stream = new MessageStream(request, reply);
  await stream.start();
  await stream.send('ping');
  await stream.text(PIECES);
  await stream.finish('end_turn');
}

async function streamTool(request, reply) {
  const stream = new MessageStream(request, reply);
  await stream.start();
  await stream.text(['I will look.']);
  await stream.open({ type: 'tool_use', id: 'toolu_sdk1', name: 'brew', input: {} });
  await stream.delta('input_json_delta', { partial_json: '' });
  for (const partial_json of JSON.stringify(TOOL_INPUT).match(/.{1,7}/gsu)) {
    await stream.delta('input_json_delta', { partial_json });
  }
  await stream.close();
  await stream.finish('tool_use');
}

async function streamThinking(request, reply) {
  const stream = new MessageStream(request, reply);
  await stream.start();
  await stream.open({ type: 'thinking', thinking: '', signature: '' });
  for (const thinking of THINKING.match(/.{1,11}/gs)) await stream.delta('thinking_delta', { thinking });
  await stream.delta('signature_delta', { signature: SIGNATURE });
  await stream.close();
  await stream.text(PIECES);
  await stream.finish('end_turn');
}

// ---- scripts ----------------------------------------------------------------

function plain(request, reply) {
  if (request.path.includes('/count_tokens')) return reply.json(200, { input_tokens: 321 }, requestId);
  if (request.body.stream) return streamText(request, reply);
  return reply.json(200, message(request.body.model, [{ type: 'text', text: TEXT }], 'end_turn'), requestId);
}

function thinks(request, reply) {
  if (request.body.stream) return streamThinking(request, reply);
  const content = [
    { type: 'thinking', thinking: THINKING, signature: SIGNATURE },
    { type: 'text', text: TEXT },
  ];
  return reply.json(200, message(request.body.model, content, 'end_turn'), requestId);
}

// Calls the tool until the conversation ends with the tool's result.
function brews(request, reply) {
  const last = request.body.messages.at(-1).content;
  const done = Array.isArray(last) && last.some((block) => block.type === 'tool_result');
  if (done) return plain(request, reply);
  if (request.body.stream) return streamTool(request, reply);
  const call = { type: 'tool_use', id: 'toolu_sdk1', name: 'brew', input: TOOL_INPUT };
  return reply.json(200, message(request.body.model, [call], 'tool_use'), requestId);
}

// Text until the caller leaves.
async function endless(request, reply) {
  const stream = new MessageStream(request, reply);
  await stream.start();
  await stream.open({ type: 'text', text: '' });
  for (let i = 0; i < 500 && (await stream.delta('text_delta', { text: `word ${i} ` })); i += 1) await sleep(10);
}

// A little text; then nothing, an error, or the end of the connection.
function begins(then) {
  return async (request, reply) => {
    const stream = new MessageStream(request, reply);
    await stream.start();
    await stream.open({ type: 'text', text: '' });
    await stream.delta('text_delta', { text: 'So far' });
    await sleep(30);
    await then?.(stream, reply);
  };
}

async function overloaded(stream, reply) {
  await stream.send('error', { error: { type: 'overloaded_error', message: 'Overloaded' } });
  reply.end();
}

function refuses(status, type, text, headers = {}) {
  return (request, reply) =>
    reply.json(
      status,
      { type: 'error', error: { type, message: text }, request_id: REQUEST_ID },
      { ...requestId, ...headers },
    );
}

const limited = refuses(429, 'rate_limit_error', 'slow down', { 'retry-after': '1' });

export const anthropicScripts = {
  plain,
  thinks,
  brews,
  endless,
  stalled: begins(),
  silent: () => {},
  'fails-midway': begins(overloaded),
  'cut-midway': begins((stream, reply) => reply.cut()),
  'vendor/plain-v1': plain,
  'error-400': refuses(400, 'invalid_request_error', 'max_tokens: too many'),
  'error-401': refuses(401, 'authentication_error', 'invalid x-api-key'),
  'error-404': refuses(404, 'not_found_error', 'model: nowhere'),
  'error-409': refuses(409, 'invalid_request_error', 'in use'),
  'error-422': refuses(422, 'invalid_request_error', 'cannot make sense of it'),
  'error-429': refuses(429, 'rate_limit_error', 'slow down', { 'retry-after': '9' }),
  'error-429-bare': refuses(429, 'rate_limit_error', 'slow down'),
  'error-500': refuses(500, 'api_error', 'it broke'),
  'error-529': refuses(529, 'overloaded_error', 'Overloaded'),
  'limited-once': (request, reply) => (request.turn === 1 ? limited : plain)(request, reply),
};

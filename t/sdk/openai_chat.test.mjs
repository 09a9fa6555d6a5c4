// OpenAI's SDK, chat completions: whole answers, streams, tools, cancelling.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { APIConnectionError, APIError, APIUserAbortError } from 'openai';

import { collect, failure, openai } from './clients.mjs';
import {
  CHAT_PIECES,
  CHAT_TEXT,
  CHAT_USAGE,
  openaiScripts,
  REQUEST_ID,
  TOOL_ANSWER,
  TOOL_ARGUMENTS,
} from './openai_answers.mjs';
import { closedSoonAfter, RELAY_KEY, startStack, waitFor } from './stack.mjs';

const PATH = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Say “hello” in Norwegian. ☃' }];
let stack;

before(async () => (stack = await startStack(openaiScripts, { host: 'openai' })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

test('create: the answer, field by field', async () => {
  const body = { model: 'chat', messages, temperature: 0.25, max_completion_tokens: 50, metadata: { team: 'é' } };
  const answer = await openai(stack).chat.completions.create(body);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.id, 'chatcmpl-sdk1');
  assert.equal(answer.choices.length, 1);
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.equal(answer.choices[0].message.content, CHAT_TEXT);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.deepEqual(answer.usage, CHAT_USAGE);
  assert.equal(answer.system_fingerprint, 'fp_sdk');
  assert.equal(answer._request_id, REQUEST_ID);
  stack.saw({ dialect: 'openai', path: PATH, model: 'chat', body });
});

test('create: the raw answer has the headers of Relay and of the provider', async () => {
  const { data, response, request_id } = await openai(stack)
    .chat.completions.create({ model: 'chat', messages })
    .withResponse();
  assert.equal(data.choices[0].message.content, CHAT_TEXT);
  assert.equal(request_id, REQUEST_ID);
  assert.equal(response.headers.get('openai-processing-ms'), '12');
  assert.equal(response.headers.get('x-relay-host'), 'openai');
  assert.equal(response.headers.get('x-relay-attempts'), '1');
  assert.match(response.headers.get('x-relay-request-id'), /^[0-9a-f]{32}$/);
  stack.saw({ dialect: 'openai', path: PATH, model: 'chat', body: { model: 'chat', messages } });
});

test('base URL with the vendor prefix, and the key in x-relay-key', async () => {
  const body = { model: 'chat', messages };
  const prefixed = openai(stack, { baseURL: `${stack.url}/openai/v1` });
  assert.equal((await prefixed.chat.completions.create(body)).choices[0].message.content, CHAT_TEXT);
  const other = openai(stack, { apiKey: 'whatever', defaultHeaders: { 'x-relay-key': RELAY_KEY } });
  assert.equal((await other.chat.completions.create(body)).choices[0].message.content, CHAT_TEXT);
  const one = { dialect: 'openai', path: PATH, model: 'chat', body };
  stack.saw(one, one);
});

test('organization, project and headers of the caller’s own arrive', async () => {
  const client = openai(stack, {
    organization: 'org-sdk',
    project: 'proj-sdk',
    defaultHeaders: { 'x-team': 'blue', session_id: 's-1' },
  });
  await client.chat.completions.create({ model: 'chat', messages });
  const seen = stack.saw({ dialect: 'openai', path: PATH, model: 'chat' });
  assert.equal(seen.headers['openai-organization'], 'org-sdk');
  assert.equal(seen.headers['openai-project'], 'proj-sdk');
  assert.equal(seen.headers['x-team'], 'blue');
  assert.equal(seen.headers.session_id, 's-1');
});

test('a compressed answer is unpacked by the SDK', async () => {
  const body = { model: 'gzipped', messages };
  const { data, response } = await openai(stack).chat.completions.create(body).withResponse();
  assert.equal(data.choices[0].message.content, CHAT_TEXT);
  assert.deepEqual(data.usage, CHAT_USAGE);
  const seen = stack.saw({ dialect: 'openai', path: PATH, model: 'gzipped', body });
  const asked = /\bgzip\b/.test(seen.headers['accept-encoding'] ?? '');
  assert.equal(response.headers.get('content-encoding'), asked ? 'gzip' : null);
});

test('a request of some megabytes arrives whole', async () => {
  const long = 'Ångström 😀 "quoted" \\ \u2028 '.repeat(100000);
  const body = { model: 'chat', messages: [{ role: 'user', content: long }] };
  await openai(stack).chat.completions.create(body);
  stack.saw({ dialect: 'openai', path: PATH, model: 'chat', body });
});

test('forty streams at a time: each caller gets its own', async () => {
  const client = openai(stack);
  const texts = Array.from({ length: 40 }, (_, i) => `this is ${i} and only ${i} `.repeat(1 + (i % 7)));
  const answers = await Promise.all(
    texts.map((content) =>
      client.chat.completions.stream({ model: 'repeats', messages: [{ role: 'user', content }] }).finalContent(),
    ),
  );
  assert.deepEqual(answers, texts);
  const seen = stack.saw(...texts.map(() => ({ dialect: 'openai', path: PATH, model: 'repeats' })));
  assert.deepEqual(seen.map((request) => request.body.messages[0].content).sort(), [...texts].sort());
});

// ---- streams ----------------------------------------------------------------

function checkText(chunks) {
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  const deltas = chunks
    .flatMap((chunk) => chunk.choices)
    .map((choice) => choice.delta.content)
    .filter(Boolean);
  assert.deepEqual(deltas, CHAT_PIECES);
  const finishes = chunks
    .flatMap((chunk) => chunk.choices)
    .map((choice) => choice.finish_reason)
    .filter(Boolean);
  assert.deepEqual(finishes, ['stop']);
}

test('stream: usage not asked for, the caller sees none', async () => {
  const body = { model: 'chat', messages, stream: true };
  const chunks = await collect(await openai(stack).chat.completions.create(body));
  checkText(chunks);
  for (const chunk of chunks) {
    assert.equal(chunk.choices.length, 1, 'no chunk without a choice');
    assert.equal(chunk.usage ?? null, null, 'no usage');
  }
  stack.saw({
    dialect: 'openai',
    path: PATH,
    model: 'chat',
    body: { ...body, stream_options: { include_usage: true } },
  });
});

test('stream: include_usage false, the caller sees none', async () => {
  const body = { model: 'chat', messages, stream: true, stream_options: { include_usage: false } };
  const chunks = await collect(await openai(stack).chat.completions.create(body));
  checkText(chunks);
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
  stack.saw({
    dialect: 'openai',
    path: PATH,
    model: 'chat',
    body: { ...body, stream_options: { include_usage: true } },
  });
});

test('stream: include_usage true, the last chunk has it', async () => {
  const body = { model: 'chat', messages, stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await openai(stack).chat.completions.create(body));
  const last = chunks.pop();
  checkText(chunks);
  assert.deepEqual(last.choices, []);
  assert.deepEqual(last.usage, CHAT_USAGE);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
  stack.saw({ dialect: 'openai', path: PATH, model: 'chat', body });
});

test('.stream(): events and finalChatCompletion', async () => {
  const body = { model: 'chat', messages, stream_options: { include_usage: true } };
  const stream = openai(stack).chat.completions.stream(body);
  const pieces = [];
  stream.on('content', (piece) => pieces.push(piece));
  const answer = await stream.finalChatCompletion();
  assert.deepEqual(pieces.filter(Boolean), CHAT_PIECES);
  assert.equal(answer.choices[0].message.content, CHAT_TEXT);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.deepEqual(answer.usage, CHAT_USAGE);
  assert.equal(await stream.finalContent(), CHAT_TEXT);
  stack.saw({ dialect: 'openai', path: PATH, model: 'chat', body: { ...body, stream: true } });
});

test('.stream() without include_usage ends well, too', async () => {
  const body = { model: 'chat', messages };
  const answer = await openai(stack).chat.completions.stream(body).finalChatCompletion();
  assert.equal(answer.choices[0].message.content, CHAT_TEXT);
  assert.equal(answer.usage ?? undefined, undefined);
  stack.saw({
    dialect: 'openai',
    path: PATH,
    model: 'chat',
    body: { ...body, stream: true, stream_options: { include_usage: true } },
  });
});

// ---- tools and structure ----------------------------------------------------

const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};

for (const model of ['fails-midway', 'cut-midway']) {
  test(`.stream() of one that breaks (${model}) rejects with an APIError`, async () => {
    const stream = openai(stack).chat.completions.stream({ model, messages });
    const pieces = [];
    stream.on('content', (piece) => pieces.push(piece));
    const error = await failure(stream.finalChatCompletion());
    assert.equal(pieces.join(''), 'So far');
    assert.ok(
      error instanceof APIError && !(error instanceof APIConnectionError),
      `${error.constructor.name}: ${error}`,
    );
    stack.saw({ dialect: 'openai', path: PATH, model });
  });
}

test('tool call in a stream: the pieces add up', async () => {
  const tools = [{ type: 'function', function: { name: 'forecast', parameters } }];
  const body = { model: 'tools', messages, tools, tool_choice: 'auto' };
  const stream = openai(stack).chat.completions.stream(body);
  const deltas = [];
  stream.on('tool_calls.function.arguments.delta', (event) => deltas.push(event.arguments_delta));
  const { choices } = await stream.finalChatCompletion();
  assert.equal(deltas.join(''), TOOL_ARGUMENTS);
  assert.equal(choices[0].finish_reason, 'tool_calls');
  const [call] = choices[0].message.tool_calls;
  assert.equal(call.id, 'call_sdk1');
  assert.equal(call.function.name, 'forecast');
  assert.equal(call.function.arguments, TOOL_ARGUMENTS);
  stack.saw({
    dialect: 'openai',
    path: PATH,
    model: 'tools',
    body: { ...body, stream: true, stream_options: { include_usage: true } },
  });
});

for (const stream of [false, true]) {
  test(`runTools${stream ? ', streaming' : ''}: the tool runs once and its result arrives`, async () => {
    const calls = [];
    const forecast = {
      name: 'forecast',
      description: 'The weather',
      parse: JSON.parse,
      parameters,
      function: (args) => (calls.push(args), { sky: 'snow' }),
    };
    const runner = openai(stack).chat.completions.runTools({
      model: 'tools',
      messages,
      stream,
      tools: [{ type: 'function', function: forecast }],
    });
    assert.equal(await runner.finalContent(), TOOL_ANSWER);
    assert.deepEqual(calls, [{ city: 'Tromsø', days: 2 }], 'exactly one call');
    const one = { dialect: 'openai', path: PATH, model: 'tools' };
    const [first, second] = stack.saw(one, one);
    assert.deepEqual(first.body.messages, messages);
    assert.deepEqual(first.body.tools[0].function.parameters, parameters);
    const result = second.body.messages.at(-1);
    assert.deepEqual(result, { role: 'tool', tool_call_id: 'call_sdk1', content: '{"sky":"snow"}' });
    assert.equal(second.body.messages.at(-2).tool_calls[0].function.arguments, TOOL_ARGUMENTS);
  });
}

test('parse: a schema goes out, a structure comes back', async () => {
  const schema = {
    type: 'object',
    properties: { city: { type: 'string' }, degrees: { type: 'number' } },
    required: ['city', 'degrees'],
    additionalProperties: false,
  };
  const response_format = { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema } };
  const answer = await openai(stack).chat.completions.parse({ model: 'structured', messages, response_format });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: 'Tromsø', degrees: -4.5 });
  stack.saw({
    dialect: 'openai',
    path: PATH,
    model: 'structured',
    body: { model: 'structured', messages, response_format },
  });
});

// ---- the caller leaves ------------------------------------------------------

for (const model of ['endless', 'stalled']) {
  test(`abort in the middle of a stream (${model}): the provider is left at once`, async () => {
    const stream = await openai(stack).chat.completions.create({ model, messages, stream: true });
    let left_ms;
    let seen = 0;
    for await (const chunk of stream) {
      seen += chunk.choices[0].delta.content ? 1 : 0;
      if (seen === 1 && !left_ms) {
        if (model === 'stalled') await sleep(50); // nothing on the way any more
        left_ms = performance.now();
        stream.controller.abort();
      }
    }
    assert.ok(left_ms, 'content came before');
    const request = stack.saw({ dialect: 'openai', path: PATH, model });
    await closedSoonAfter(request, left_ms);
  });
}

test('abort before any answer: the provider is left at once', async () => {
  const controller = new AbortController();
  const failed = failure(
    openai(stack).chat.completions.create({ model: 'silent', messages }, { signal: controller.signal }),
  );
  await waitFor('the request reached the provider', 3000, () => stack.mock.requests.length);
  const left_ms = performance.now();
  controller.abort();
  assert.ok((await failed) instanceof APIUserAbortError);
  await closedSoonAfter(stack.saw({ dialect: 'openai', path: PATH, model: 'silent' }), left_ms);
});

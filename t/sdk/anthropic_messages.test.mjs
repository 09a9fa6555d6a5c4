// Anthropic's SDK: messages, streams, thinking, tools, token counts, cancelling.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { APIUserAbortError } from '@anthropic-ai/sdk';

import { anthropic, collect, failure } from './clients.mjs';
import {
  anthropicScripts,
  PIECES,
  REQUEST_ID,
  SIGNATURE,
  TEXT,
  THINKING,
  TOOL_INPUT,
  USAGE,
} from './anthropic_answers.mjs';
import { closedSoonAfter, RELAY_KEY, startStack, waitFor } from './stack.mjs';

const PATH = '/v1/messages';
const messages = [{ role: 'user', content: 'Två koppar, “tack”. ☕' }];
const plain = { model: 'plain', max_tokens: 100, messages };
const dialect = 'anthropic';
let stack;

before(async () => (stack = await startStack(anthropicScripts, { host: 'anthropic' })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

test('create: the answer, field by field', async () => {
  const body = {
    ...plain,
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
    temperature: 0.5,
    metadata: { user_id: 'ü-1' },
  };
  const answer = await anthropic(stack).messages.create(body);
  assert.equal(answer.id, 'msg_sdk1');
  assert.equal(answer.type, 'message');
  assert.equal(answer.role, 'assistant');
  assert.deepEqual(answer.content, [{ type: 'text', text: TEXT }]);
  assert.equal(answer.stop_reason, 'end_turn');
  assert.equal(answer.stop_sequence, null);
  assert.deepEqual(answer.usage, USAGE);
  assert.equal(answer._request_id, REQUEST_ID);
  const seen = stack.saw({ dialect, path: PATH, model: 'plain', body });
  assert.equal(seen.headers['anthropic-version'], '2023-06-01');
});

test('create: the raw answer has the headers of Relay and of the provider', async () => {
  const { data, response } = await anthropic(stack).messages.create(plain).withResponse();
  assert.equal(data.content[0].text, TEXT);
  assert.equal(response.headers.get('request-id'), REQUEST_ID);
  assert.equal(response.headers.get('x-relay-host'), 'anthropic');
  assert.equal(response.headers.get('x-relay-attempts'), '1');
  assert.match(response.headers.get('x-relay-request-id'), /^[0-9a-f]{32}$/);
  stack.saw({ dialect, path: PATH, model: 'plain', body: plain });
});

// ---- keys, base URLs, betas -------------------------------------------------

for (const [style, options, sent] of [
  ['apiKey', {}, 'x-api-key'],
  ['authToken', { apiKey: null, authToken: RELAY_KEY }, 'authorization'],
  ['x-relay-key', { apiKey: 'whatever', defaultHeaders: { 'x-relay-key': RELAY_KEY } }, 'x-relay-key'],
]) {
  test(`the relay key as ${style}; base URL with and without the vendor prefix`, async () => {
    for (const baseURL of [stack.url, `${stack.url}/anthropic`]) {
      let headers;
      const fetchAndLook = (url, init) => {
        headers = new Headers(init.headers);
        return fetch(url, init);
      };
      const answer = await anthropic(stack, { ...options, baseURL, fetch: fetchAndLook }).messages.create(plain);
      assert.equal(answer.content[0].text, TEXT);
      assert.ok(headers.get(sent).endsWith(RELAY_KEY), `the SDK sent it in ${sent}`);
    }
    const one = { dialect, path: PATH, model: 'plain', body: plain };
    stack.saw(one, one);
  });
}

test('betas: the header passes, in answers and streams', async () => {
  const betas = ['context-1m-2025-08-07', 'never-heard-of-2031-01-01'];
  const client = anthropic(stack);
  const answer = await client.beta.messages.create({ ...plain, betas });
  assert.equal(answer.content[0].text, TEXT);
  const streamed = await client.beta.messages.stream({ ...plain, betas }).finalMessage();
  assert.equal(streamed.content[0].text, TEXT);
  const one = { dialect, path: `${PATH}?beta=true`, model: 'plain' };
  const seen = stack.saw({ ...one, body: plain }, { ...one, body: { ...plain, stream: true } });
  for (const request of seen) {
    const sent = request.headers['anthropic-beta'].split(',').map((beta) => beta.trim());
    assert.deepEqual(sent, betas);
  }
});

// ---- streams ----------------------------------------------------------------

test('create, streaming: every event in order', async () => {
  const body = { ...plain, stream: true };
  const events = await collect(await anthropic(stack).messages.create(body));
  const expected = [
    'message_start',
    'content_block_start',
    ...PIECES.map(() => 'content_block_delta'),
    'content_block_stop',
    'message_delta',
    'message_stop',
  ];
  assert.deepEqual(
    events.map((event) => event.type).filter((type) => type !== 'ping'),
    expected,
  );
  assert.equal(events[0].message.usage.cache_read_input_tokens, USAGE.cache_read_input_tokens);
  assert.equal(events.at(-2).usage.output_tokens, USAGE.output_tokens);
  stack.saw({ dialect, path: PATH, model: 'plain', body });
});

test('.stream(): text events and finalMessage', async () => {
  const stream = anthropic(stack).messages.stream(plain);
  const pieces = [];
  stream.on('text', (piece) => pieces.push(piece));
  const answer = await stream.finalMessage();
  assert.deepEqual(pieces, PIECES);
  assert.deepEqual(answer.content, [{ type: 'text', text: TEXT }]);
  assert.equal(answer.stop_reason, 'end_turn');
  assert.deepEqual(answer.usage, USAGE);
  assert.equal(await stream.finalText(), TEXT);
  assert.equal(stream.request_id, REQUEST_ID);
  stack.saw({ dialect, path: PATH, model: 'plain', body: { ...plain, stream: true } });
});

test('.stream(): thinking and its signature', async () => {
  const body = { model: 'thinks', max_tokens: 3000, messages, thinking: { type: 'enabled', budget_tokens: 2000 } };
  const stream = anthropic(stack).messages.stream(body);
  const thoughts = [];
  const signatures = [];
  stream.on('thinking', (piece) => thoughts.push(piece));
  stream.on('signature', (signature) => signatures.push(signature));
  const answer = await stream.finalMessage();
  assert.ok(thoughts.length > 2);
  assert.equal(thoughts.join(''), THINKING);
  assert.deepEqual(signatures, [SIGNATURE]);
  assert.deepEqual(answer.content, [
    { type: 'thinking', thinking: THINKING, signature: SIGNATURE },
    { type: 'text', text: TEXT },
  ]);
  stack.saw({ dialect, path: PATH, model: 'thinks', body: { ...body, stream: true } });
});

test('thinking in an answer goes back in the next turn as it came', async () => {
  const client = anthropic(stack);
  const body = { model: 'thinks', max_tokens: 3000, messages, thinking: { type: 'enabled', budget_tokens: 2000 } };
  const first = await client.messages.create(body);
  assert.equal(first.content[0].signature, SIGNATURE);
  const next = {
    ...body,
    messages: [...messages, { role: 'assistant', content: first.content }, { role: 'user', content: 'One more.' }],
  };
  await client.messages.create(next);
  const one = { dialect, path: PATH, model: 'thinks' };
  stack.saw({ ...one, body }, { ...one, body: next });
});

// ---- tools ------------------------------------------------------------------

const tools = [
  {
    name: 'brew',
    description: 'Makes coffee',
    input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
];

test('.stream(): the input of a tool adds up', async () => {
  const body = { model: 'brews', max_tokens: 100, messages, tools, tool_choice: { type: 'auto' } };
  const stream = anthropic(stack).messages.stream(body);
  const pieces = [];
  stream.on('inputJson', (piece) => pieces.push(piece));
  const answer = await stream.finalMessage();
  assert.deepEqual(JSON.parse(pieces.join('')), TOOL_INPUT);
  assert.equal(answer.stop_reason, 'tool_use');
  assert.equal(answer.content[0].text, 'I will look.');
  const { type, id, name, input } = answer.content[1];
  assert.deepEqual({ type, id, name, input }, { type: 'tool_use', id: 'toolu_sdk1', name: 'brew', input: TOOL_INPUT });
  stack.saw({ dialect, path: PATH, model: 'brews', body: { ...body, stream: true } });
});

for (const stream of [false, true]) {
  test(`toolRunner${stream ? ', streaming' : ''}: the tool runs once and its result arrives`, async () => {
    const calls = [];
    const brew = { ...tools[0], type: 'custom', parse: (input) => input, run: (input) => (calls.push(input), 'ready') };
    const runner = anthropic(stack).beta.messages.toolRunner({
      model: 'brews',
      max_tokens: 100,
      messages,
      tools: [brew],
      stream,
    });
    const answer = await runner.runUntilDone();
    assert.equal(answer.content[0].text, TEXT);
    assert.deepEqual(calls, [TOOL_INPUT], 'exactly one call');
    const one = { dialect, path: `${PATH}?beta=true`, model: 'brews' };
    const [, second] = stack.saw(one, one);
    const [result] = second.body.messages.at(-1).content;
    assert.equal(result.type, 'tool_result');
    assert.equal(result.tool_use_id, 'toolu_sdk1');
    assert.equal(result.content, 'ready');
    assert.deepEqual(second.body.messages.at(-2).content.at(-1).input, TOOL_INPUT);
  });
}

// ---- counting ---------------------------------------------------------------

test('countTokens', async () => {
  const body = { model: 'plain', messages, system: 'Be brief.', tools: [] };
  const count = await anthropic(stack).messages.countTokens(body);
  assert.equal(count.input_tokens, 321);
  stack.saw({ dialect, path: `${PATH}/count_tokens`, model: 'plain', body });
});

// ---- the caller leaves ------------------------------------------------------

for (const model of ['endless', 'stalled']) {
  test(`abort in the middle of a stream (${model}): the provider is left at once`, async () => {
    const stream = anthropic(stack).messages.stream({ ...plain, model });
    const ended = failure(stream.finalMessage());
    await stream.emitted('text');
    if (model === 'stalled') await sleep(80); // nothing on the way any more
    const left_ms = performance.now();
    stream.abort();
    assert.ok((await ended) instanceof APIUserAbortError);
    const request = stack.saw({ dialect, path: PATH, model, body: { ...plain, model, stream: true } });
    await closedSoonAfter(request, left_ms);
  });
}

test('abort before any answer: the provider is left at once', async () => {
  const controller = new AbortController();
  const body = { ...plain, model: 'silent' };
  const failed = failure(anthropic(stack).messages.create(body, { signal: controller.signal }));
  await waitFor('the request reached the provider', 3000, () => stack.mock.requests.length);
  const left_ms = performance.now();
  controller.abort();
  assert.ok((await failed) instanceof APIUserAbortError);
  await closedSoonAfter(stack.saw({ dialect, path: PATH, model: 'silent', body }), left_ms);
});

// OpenAI's SDK: responses, their streams and token counts; embeddings.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';

import { APIConnectionError, APIError } from 'openai';

import { collect, failure, openai } from './clients.mjs';
import {
  EMBEDDINGS,
  openaiScripts,
  REQUEST_ID,
  RESPONSE_TEXT,
  RESPONSE_USAGE,
  TOOL_ARGUMENTS,
} from './openai_answers.mjs';
import { closedSoonAfter, startStack, waitFor } from './stack.mjs';

const PATH = '/v1/responses';
let stack;

before(async () => (stack = await startStack(openaiScripts, { host: 'openai' })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

function checkOutput(response) {
  assert.equal(response.status, 'completed');
  assert.equal(response.output_text, RESPONSE_TEXT);
  assert.deepEqual(response.usage, RESPONSE_USAGE);
}

// ---- responses --------------------------------------------------------------

test('responses.create with a text', async () => {
  const body = { model: 'response', input: 'Who is at the lighthouse?', instructions: 'Be brief.', store: false };
  const response = await openai(stack).responses.create(body);
  checkOutput(response);
  assert.equal(response.id, 'resp_sdk1');
  assert.equal(response.output[0].encrypted_content, 'b3BhcXVl');
  assert.equal(response._request_id, REQUEST_ID);
  stack.saw({ dialect: 'openai', path: PATH, model: 'response', body });
});

test('responses.create with items, reasoning and tools', async () => {
  const input = [
    { role: 'developer', content: 'Answer in one line.' },
    { role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
    { type: 'reasoning', id: 'rs_0', summary: [], encrypted_content: 'b2xk' },
    { type: 'function_call', call_id: 'call_0', name: 'forecast', arguments: '{}' },
    { type: 'function_call_output', call_id: 'call_0', output: 'snow' },
  ];
  const tools = [{ type: 'function', name: 'forecast', parameters: { type: 'object', properties: {} }, strict: false }];
  const body = {
    model: 'response',
    input,
    tools,
    reasoning: { effort: 'low' },
    include: ['reasoning.encrypted_content'],
  };
  checkOutput(await openai(stack).responses.create(body));
  stack.saw({ dialect: 'openai', path: PATH, model: 'response', body });
});

test('responses.create, streaming: every event in order', async () => {
  const body = { model: 'response', input: 'Go on.', stream: true };
  const events = await collect(await openai(stack).responses.create(body));
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  );
  assert.equal(events[0].type, 'response.created');
  const text = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta);
  assert.ok(text.length > 3);
  assert.equal(text.join(''), RESPONSE_TEXT);
  const args = events
    .filter((event) => event.type === 'response.function_call_arguments.delta')
    .map((event) => event.delta);
  assert.equal(args.join(''), TOOL_ARGUMENTS);
  assert.equal(events.at(-1).type, 'response.completed');
  assert.deepEqual(events.at(-1).response.usage, RESPONSE_USAGE);
  stack.saw({ dialect: 'openai', path: PATH, model: 'response', body });
});

test('responses.stream(): finalResponse', async () => {
  const body = { model: 'response', input: 'Go on.' };
  const stream = openai(stack).responses.stream(body);
  const pieces = [];
  stream.on('response.output_text.delta', (event) => pieces.push(event.delta));
  const response = await stream.finalResponse();
  checkOutput(response);
  assert.equal(pieces.join(''), RESPONSE_TEXT);
  const call = response.output[1];
  assert.deepEqual(
    [call.type, call.call_id, call.name, call.arguments],
    ['function_call', 'call_sdk9', 'forecast', TOOL_ARGUMENTS],
  );
  stack.saw({ dialect: 'openai', path: PATH, model: 'response', body: { ...body, stream: true } });
});

test('responses.inputTokens.count', async () => {
  const body = { model: 'response', input: 'How long is this?' };
  const count = await openai(stack).responses.inputTokens.count(body);
  assert.equal(count.object, 'response.input_tokens');
  assert.equal(count.input_tokens, 123);
  stack.saw({ dialect: 'openai', path: `${PATH}/input_tokens`, model: 'response', body });
});

test('responses.compact', async () => {
  const body = { model: 'response', input: [{ role: 'user', content: 'A long talk.' }] };
  const compacted = await openai(stack).responses.compact(body);
  assert.equal(compacted.object, 'response.compaction');
  assert.equal(compacted.output[0].encrypted_content, 'c2hvcnRlcg==');
  assert.deepEqual(compacted.usage, RESPONSE_USAGE);
  stack.saw({ dialect: 'openai', path: `${PATH}/compact`, model: 'response', body });
});

// The events up to the end, or to the error that the SDK raises.
async function read(stream) {
  const events = [];
  try {
    for await (const event of stream) events.push(event);
  } catch (error) {
    return { events, error };
  }
  return { events };
}

test('APIError in the middle of a stream of responses: an error event', async () => {
  const body = { model: 'response-error', input: 'Go on.', stream: true };
  const { events, error } = await read(await openai(stack).responses.create(body));
  assert.ok(
    error instanceof APIError && !(error instanceof APIConnectionError),
    `${error?.constructor.name}: ${error}`,
  );
  assert.equal(error.error.message, 'the model tripped');
  assert.equal(error.code, 'server_error');
  assert.equal(events.at(-1).delta, 'So far');
  const helper = await failure(openai(stack).responses.stream(body).finalResponse());
  assert.ok(helper instanceof APIError, String(helper));
  const one = { dialect: 'openai', path: PATH, model: 'response-error', body };
  stack.saw(one, one);
});

// response.failed, the provider's or Relay's: the SDK hands it over as an event
// and as the final response, and raises nothing.
for (const [model, message] of [
  ['response-failed', /^the model tripped$/],
  ['response-cut', /ended before it was complete/],
]) {
  test(`response.failed in the middle of a stream of responses: ${model}`, async () => {
    const body = { model, input: 'Go on.', stream: true };
    const { events, error } = await read(await openai(stack).responses.create(body));
    assert.equal(error, undefined);
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, i) => i),
    );
    assert.equal(events.at(-2).delta, 'So far');
    const last = events.at(-1);
    assert.equal(last.type, 'response.failed');
    assert.equal(last.response.id, 'resp_sdk1');
    assert.equal(last.response.error.code, 'server_error');
    assert.match(last.response.error.message, message);
    const final = await openai(stack).responses.stream(body).finalResponse();
    assert.equal(final.status, 'failed');
    assert.match(final.error.message, message);
    const one = { dialect: 'openai', path: PATH, model, body };
    stack.saw(one, one);
  });
}

test('abort of responses.create: the provider is left at once', async () => {
  const controller = new AbortController();
  const body = { model: 'silent', input: 'Go on.', stream: true };
  const failed = failure(openai(stack).responses.create(body, { signal: controller.signal }));
  await waitFor('the request reached the provider', 3000, () => stack.mock.requests.length);
  const left_ms = performance.now();
  controller.abort();
  await failed;
  await closedSoonAfter(stack.saw({ dialect: 'openai', path: PATH, model: 'silent', body }), left_ms);
});

// ---- embeddings -------------------------------------------------------------

test('embeddings: base64 on the wire, numbers for the caller', async () => {
  const body = { model: 'embedding', input: ['one', 'two'], dimensions: 4 };
  const answer = await openai(stack).embeddings.create(body);
  assert.deepEqual(
    answer.data.map((entry) => Array.from(entry.embedding)),
    EMBEDDINGS,
  );
  assert.deepEqual(
    answer.data.map((entry) => entry.index),
    [0, 1],
  );
  assert.deepEqual(answer.usage, { prompt_tokens: 9, total_tokens: 9 });
  assert.equal(answer._request_id, REQUEST_ID);
  stack.saw({
    dialect: 'openai',
    path: '/v1/embeddings',
    model: 'embedding',
    body: { ...body, encoding_format: 'base64' },
  });
});

test('embeddings: as float', async () => {
  const body = { model: 'embedding', input: 'one', encoding_format: 'float' };
  const answer = await openai(stack).embeddings.create(body);
  assert.deepEqual(
    answer.data.map((entry) => entry.embedding),
    EMBEDDINGS,
  );
  stack.saw({ dialect: 'openai', path: '/v1/embeddings', model: 'embedding', body });
});

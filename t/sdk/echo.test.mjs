// The built-in model through both SDKs, with no provider configured at all.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { anthropic, collect, openai } from './clients.mjs';
import { echoConfig, startStack } from './stack.mjs';

const TEXT = 'Say it back: “blåbær” & \\ "quotes"\n\ttabs, 🫐🫐 and a few more words, so that it comes in pieces.';
const messages = [
  { role: 'user', content: 'something before' },
  { role: 'assistant', content: 'yes' },
  { role: 'user', content: TEXT },
];
const model = 'relay/echo';
let stack;

before(async () => (stack = await startStack({}, { config: echoConfig })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

function checkUsage(input, output) {
  assert.ok(Number.isInteger(input) && input > 0, `input tokens: ${input}`);
  assert.ok(Number.isInteger(output) && output > 0, `output tokens: ${output}`);
}

// ---- OpenAI -----------------------------------------------------------------

test('OpenAI chat', async () => {
  const answer = await openai(stack).chat.completions.create({ model, messages });
  assert.equal(answer.model, model);
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  checkUsage(answer.usage.prompt_tokens, answer.usage.completion_tokens);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.match(answer._request_id, /^[0-9a-f]{32}$/);
  stack.sawNothing();
});

for (const include_usage of [false, true]) {
  test(`OpenAI chat, streaming, include_usage ${include_usage}`, async () => {
    const body = { model, messages, stream: true, stream_options: { include_usage } };
    const chunks = await collect(await openai(stack).chat.completions.create(body));
    const pieces = chunks
      .flatMap((chunk) => chunk.choices)
      .map((choice) => choice.delta.content)
      .filter(Boolean);
    assert.ok(pieces.length > 1);
    assert.equal(pieces.join(''), TEXT);
    const last = chunks.at(-1);
    assert.equal(last.choices.length, include_usage ? 0 : 1);
    if (include_usage) checkUsage(last.usage.prompt_tokens, last.usage.completion_tokens);
    else assert.ok(chunks.every((chunk) => !chunk.usage));
    stack.sawNothing();
  });
}

test('OpenAI chat, .stream()', async () => {
  const answer = await openai(stack).chat.completions.stream({ model, messages }).finalChatCompletion();
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  stack.sawNothing();
});

test('OpenAI chat, n choices', async () => {
  const body = { model, messages, n: 3 };
  const answer = await openai(stack).chat.completions.create(body);
  assert.deepEqual(
    answer.choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
    [0, 1, 2].map((index) => [index, TEXT, 'stop']),
  );
  const streamed = await openai(stack).chat.completions.stream(body).finalChatCompletion();
  assert.deepEqual(
    streamed.choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
    [0, 1, 2].map((index) => [index, TEXT, 'stop']),
  );
  stack.sawNothing();
});

test('OpenAI responses', async () => {
  for (const input of [TEXT, [{ role: 'user', content: [{ type: 'input_text', text: TEXT }] }]]) {
    const response = await openai(stack).responses.create({ model, input });
    assert.equal(response.status, 'completed');
    assert.equal(response.output_text, TEXT);
    checkUsage(response.usage.input_tokens, response.usage.output_tokens);
  }
  stack.sawNothing();
});

test('OpenAI responses, .stream()', async () => {
  const stream = openai(stack).responses.stream({ model, input: TEXT });
  const events = await collect(stream);
  const response = await stream.finalResponse();
  assert.equal(events[0].type, 'response.created');
  assert.equal(events.at(-1).type, 'response.completed');
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  );
  const pieces = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta);
  assert.ok(pieces.length > 1);
  assert.equal(pieces.join(''), TEXT);
  assert.equal(response.output_text, TEXT);
  checkUsage(response.usage.input_tokens, response.usage.output_tokens);
  stack.sawNothing();
});

test('OpenAI responses, input tokens', async () => {
  const counted = await openai(stack).responses.inputTokens.count({ model, input: TEXT });
  const { usage } = await openai(stack).responses.create({ model, input: TEXT });
  assert.deepEqual(counted, { object: 'response.input_tokens', input_tokens: usage.input_tokens });
  stack.sawNothing();
});

test('OpenAI embeddings: base64 and float are the same vector', async () => {
  const client = openai(stack);
  const decoded = await client.embeddings.create({ model, input: ['one', 'two'] });
  const plain = await client.embeddings.create({ model, input: ['one', 'two'], encoding_format: 'float' });
  assert.deepEqual(
    decoded.data.map((entry) => entry.index),
    [0, 1],
  );
  for (const [i, entry] of decoded.data.entries()) {
    const numbers = Array.from(entry.embedding);
    assert.ok(numbers.length > 0 && numbers.every(Number.isFinite));
    assert.deepEqual(numbers, Array.from(Float32Array.from(plain.data[i].embedding)));
  }
  stack.sawNothing();
});

test('OpenAI models', async () => {
  const client = openai(stack);
  assert.deepEqual(
    (await collect(client.models.list())).map((entry) => entry.id),
    [model],
  );
  assert.equal((await client.models.retrieve(model)).id, model);
  stack.sawNothing();
});

// ---- Anthropic --------------------------------------------------------------

test('Anthropic messages', async () => {
  const answer = await anthropic(stack).messages.create({ model, max_tokens: 1000, messages });
  assert.equal(answer.model, model);
  assert.deepEqual(
    answer.content.map(({ type, text }) => ({ type, text })),
    [{ type: 'text', text: TEXT }],
  );
  assert.equal(answer.stop_reason, 'end_turn');
  checkUsage(answer.usage.input_tokens, answer.usage.output_tokens);
  assert.match(answer._request_id, /^[0-9a-f]{32}$/);
  stack.sawNothing();
});

test('Anthropic messages, .stream()', async () => {
  const stream = anthropic(stack).messages.stream({ model, max_tokens: 1000, messages });
  const pieces = [];
  stream.on('text', (piece) => pieces.push(piece));
  const answer = await stream.finalMessage();
  assert.ok(pieces.length > 1);
  assert.equal(pieces.join(''), TEXT);
  assert.equal(answer.content[0].text, TEXT);
  assert.equal(answer.stop_reason, 'end_turn');
  checkUsage(answer.usage.input_tokens, answer.usage.output_tokens);
  stack.sawNothing();
});

test('Anthropic count_tokens', async () => {
  const counted = await anthropic(stack).messages.countTokens({ model, messages, system: 'Be brief.' });
  const { usage } = await anthropic(stack).messages.create({ model, max_tokens: 1000, messages, system: 'Be brief.' });
  assert.deepEqual({ ...counted }, { input_tokens: usage.input_tokens });
  stack.sawNothing();
});

test('Anthropic models', async () => {
  const client = anthropic(stack);
  assert.deepEqual(
    (await collect(client.models.list({ limit: 1 }))).map((entry) => entry.id),
    [model],
  );
  assert.equal((await client.models.retrieve(model)).id, model);
  stack.sawNothing();
});

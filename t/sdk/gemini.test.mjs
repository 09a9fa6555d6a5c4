// Google's SDK in front of Gemini: requests and answers as they are, in the words of
// stories.mjs; where the key is, streams, chats, tools, errors. And what it has
// beside generating, whoever the provider is.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';

import { ApiError, GoogleGenAI } from '@google/genai';

import { genai } from './caller_genai.mjs';
import { forecastInput, forecastSchema } from './callers.mjs';
import { collect, failure, google } from './clients.mjs';
import { closedSoonAfter, RELAY_KEY, startStack, waitFor, WRONG_RELAY_KEY } from './stack.mjs';
import {
  CITIES,
  FAULT_TEXT,
  PIECES,
  REFUSAL,
  SIGNATURE,
  TEXT,
  TEXT_BEFORE_CALLS,
  THINKING,
  USAGE,
  WEATHER,
} from './stories.mjs';
import { modelOf, storyModels, storyScripts, upstreams } from './upstreams.mjs';

const gemini = upstreams.find(({ format }) => format === 'gemini');
const others = upstreams.filter(({ format, variant }) => format !== 'gemini' && !variant);
const hello = { messages: [{ role: 'user', text: 'Två koppar, “tack”. ☕\n\\"' }], max_tokens: 900 };
const tools = [{ name: 'forecast', description: 'The “weather”', schema: forecastSchema, zod: forecastInput }];
const ways = [
  ['generateContent', genai.create],
  ['generateContentStream', genai.stream],
];
let stack;

before(async () => (stack = await startStack(storyScripts, { host: 'openai', models: storyModels })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

const ask = (story, more = hello) => ({ model: modelOf(gemini, story), ...more });

// The requests that reached the provider; each has its key, and none that of Relay.
function saw(story, ...methods) {
  const model = modelOf(gemini, story);
  const path = (method) => `/v1beta/models/up-${model}:${method}`;
  return [stack.saw(...methods.map((method) => ({ dialect: 'gemini', path: path(method), model })))].flat();
}

const STREAM = 'streamGenerateContent?alt=sse';

for (const [name, call] of ways) {
  const method = call === genai.stream ? STREAM : name;
  const title = (what) => `${name}: ${what}`;

  test(title('text and usage'), async () => {
    const pieces = [];
    const request = { ...hello, system: 'Be “brief”.', stop: ['END'] };
    const answer = await call(stack, ask('text', request), { onText: (piece) => pieces.push(piece) });
    const { written, ...usage } = USAGE;
    assert.deepEqual([answer.text, answer.stop, answer.usage], [TEXT, 'end', usage]);
    if (method === STREAM) assert.deepEqual(pieces, PIECES, 'each event is one');
    const [{ body }] = saw('text', method);
    assert.deepEqual(body, {
      contents: [{ role: 'user', parts: [{ text: hello.messages[0].text }] }],
      systemInstruction: { role: 'user', parts: [{ text: 'Be “brief”.' }] },
      generationConfig: { maxOutputTokens: 900, stopSequences: ['END'], thinkingConfig: { includeThoughts: true } },
    });
  });

  test(title('it thinks first, stops for length, refuses'), async () => {
    const { text, thinking } = await call(stack, ask('thinks'));
    assert.deepEqual([text, thinking], [TEXT, THINKING]);
    assert.equal((await call(stack, ask('length'))).stop, 'length');
    assert.equal((await call(stack, ask('refuses'))).stop, 'refusal');
  });

  test(title('two calls at once; the helper answers them, with their signature'), async () => {
    const request = ask('calls', { ...hello, tools });
    const { text, calls, stop } = await call(stack, request);
    assert.deepEqual([text, calls, stop], [TEXT_BEFORE_CALLS, CITIES, 'tools']);
    const handler = ({ city }) => `Snow in ${city}.`;
    const stream = method === STREAM;
    const answer = await genai.run(stack, ask('ponders', { ...hello, tools }), handler, { stream });
    assert.deepEqual([answer.text, answer.stop], [TEXT, 'end']);
    const { messages } = gemini.read(stack.mock.requests.at(-1).body);
    assert.deepEqual(messages[1].calls, [{ ...CITIES[0], signature: SIGNATURE }, CITIES[1]]);
    assert.deepEqual(
      messages[2].results,
      CITIES.map(({ id, input }) => ({ id, text: handler(input) })),
    );
  });

  test(title('structured output'), async () => {
    assert.deepEqual(await genai.parse(stack, ask('structured'), forecastInput, { stream: method === STREAM }), WEATHER);
    const [{ body }] = saw('structured', method);
    assert.equal(body.generationConfig.responseMimeType, 'application/json');
    assert.deepEqual(Object.keys(body.generationConfig.responseJsonSchema.properties), ['city', 'days', 'more']);
  });

  for (const [fault, status, word] of [
    ['invalid', 400, 'INVALID_ARGUMENT'],
    ['missing', 404, 'NOT_FOUND'],
    ['limited', 429, 'RESOURCE_EXHAUSTED'],
    ['failed', 500, 'INTERNAL'],
    ['overloaded', 503, 'UNAVAILABLE'],
  ]) {
    test(title(`ApiError ${status}, ${word}`), async () => {
      const error = await failure(call(stack, ask(fault)));
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, genai.failed(error).wire], [status, word]);
      assert.deepEqual(JSON.parse(error.message), gemini.fault(fault)[1], 'in the provider’s words, details and all');
      saw(fault, method);
    });
  }

  test(title('the provider refuses its key, which is not the caller’s'), async () => {
    const failed = genai.failed(await failure(call(stack, ask('key'))));
    assert.ok(failed.status >= 500 && !failed.message.includes(FAULT_TEXT.key));
    assert.equal(failed.header('x-relay-error'), 'upstream_key');
  });

  test(title('an unknown relay key, a model that there is not'), async () => {
    const wrong = genai.failed(await failure(call(stack, ask('text'), { apiKey: WRONG_RELAY_KEY })));
    assert.deepEqual([wrong.status, wrong.wire, wrong.header('x-relay-error')], [401, 'UNAUTHENTICATED', 'invalid_relay_key']);
    const nobody = genai.failed(await failure(call(stack, { ...hello, model: 'nobody' })));
    assert.deepEqual([nobody.status, nobody.wire], [404, 'NOT_FOUND']);
    stack.sawNothing();
  });
}

test('an error in the middle of a stream, and a stream that is cut', async () => {
  for (const story of ['breaks', 'cut']) {
    let text = '';
    const error = await failure(genai.stream(stack, ask(story), { onText: (piece) => (text += piece) }));
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(text, 'So far');
    if (story === 'breaks') assert.equal(genai.failed(error).message, FAULT_TEXT.failed);
  }
});

test('abort: the provider is left at once', async () => {
  const controller = new AbortController();
  let began;
  const first = new Promise((resolve) => (began = resolve));
  const failed = failure(genai.stream(stack, ask('endless'), { signal: controller.signal, onText: began }));
  await Promise.race([first, failed]);
  const left_ms = performance.now();
  controller.abort();
  assert.ok(genai.failed(await failed).left, String(await failed));
  await closedSoonAfter(saw('endless', STREAM)[0], left_ms);
});

test('retries: what is told to come again is asked again', async () => {
  const client = google(stack, { retryOptions: { attempts: 2, initialDelay: 0.01 } });
  const error = await failure(client.models.generateContent({ model: modelOf(gemini, 'overloaded'), contents: 'Hi' }));
  assert.equal(error.status, 503);
  await waitFor('both have arrived', 1000, () => stack.mock.requests.length === 2);
});

// ---- chats ------------------------------------------------------------------------

for (const upstream of [gemini, ...others]) {
  test(`a chat with ${upstream.format}: each message has those before it`, async () => {
    const chat = google(stack).chats.create({ model: modelOf(upstream, 'text') });
    assert.equal((await chat.sendMessage({ message: 'One' })).text, TEXT);
    const chunks = await collect(await chat.sendMessageStream({ message: 'Two' }));
    assert.equal(chunks.map(({ text }) => text ?? '').join(''), TEXT);
    await chat.sendMessage({ message: 'Three' });
    const { messages } = upstream.read(stack.mock.requests.at(-1).body);
    assert.deepEqual(
      messages.map(({ role, text }) => `${role}: ${text.replaceAll('\n', '').trim()}`),
      ['One', TEXT, 'Two', TEXT, 'Three'].map((text, i) => `${i % 2 ? 'assistant' : 'user'}: ${text.replaceAll('\n', '')}`),
    );
  });
}

// ---- beside generating ------------------------------------------------------------

test('the key, a version of the interface and a vendor prefix as they come', async () => {
  const httpOptions = { baseUrl: `${stack.url}/gemini` };
  const client = new GoogleGenAI({ apiKey: RELAY_KEY, httpOptions });
  const { text } = await client.models.generateContent({ model: modelOf(gemini, 'text'), contents: 'Hi' });
  assert.equal(text, TEXT, 'without a version, which is the SDK’s own');
  const bare = new GoogleGenAI({ apiKey: RELAY_KEY, httpOptions: { baseUrl: stack.url, apiVersion: 'v1beta' } });
  assert.equal((await bare.models.generateContent({ model: modelOf(gemini, 'text'), contents: 'Hi' })).text, TEXT);
  saw('text', 'generateContent', 'generateContent');
});

test('tokens are counted: by the provider, or as an estimate', async () => {
  const { models } = google(stack);
  const asked = { contents: 'Two cups of coffee, please. '.repeat(40) };
  assert.equal((await models.countTokens({ model: modelOf(gemini, 'text'), ...asked })).totalTokens, USAGE.input);
  saw('text', 'countTokens');
  for (const upstream of others) {
    stack.mock.clear();
    const { totalTokens } = await models.countTokens({ model: modelOf(upstream, 'text'), ...asked });
    assert.ok(totalTokens > 150 && totalTokens < 500, String(totalTokens));
    stack.sawNothing();
  }
});

test('models are listed, page by page, and told of one by one', async () => {
  const { models } = google(stack);
  const names = new Set((await collect(await models.list({ config: { pageSize: 7 } }))).map(({ name }) => name));
  for (const upstream of upstreams) assert.ok(names.has(`models/${modelOf(upstream, 'text')}`), upstream.format);
  assert.ok(!names.has('models/forbidden-model'));
  assert.equal((await models.get({ model: modelOf(gemini, 'text') })).name, `models/${modelOf(gemini, 'text')}`);
  assert.equal((await failure(models.get({ model: 'nobody' }))).status, 404);
});

test('a refusal has its reason', async () => {
  const { candidates, text } = await google(stack).models.generateContent({ model: modelOf(gemini, 'refuses'), contents: 'Hi' });
  assert.deepEqual([candidates[0].finishReason, text], ['SAFETY', undefined]);
  assert.ok(!JSON.stringify(candidates).includes(REFUSAL), 'its words the SDK drops');
});

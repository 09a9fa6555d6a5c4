// Calls that Relay translates, by the official SDKs: every caller (callers.mjs) in
// front of every provider of another format (upstreams.mjs). The SDKs' own parsers
// and helpers judge the answers; what arrived at the provider is read in its
// format. Both in the words of stories.mjs, so that one test serves all cells.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { callers, forecastInput, forecastSchema } from './callers.mjs';
import { anthropic, collect, failure, openai } from './clients.mjs';
import { closedSoonAfter, startStack, waitFor, WRONG_RELAY_KEY } from './stack.mjs';
import {
  CITIES,
  FAULT_TEXT,
  PIECES,
  REFUSAL,
  RETRY_AFTER_S,
  SIGNATURE,
  TEXT,
  TEXT_BEFORE_CALLS,
  THINKING,
  USAGE,
  WEATHER,
} from './stories.mjs';
import { modelOf, storyModels, storyScripts, upstreams } from './upstreams.mjs';

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const PDF = { media_type: 'application/pdf', data: Buffer.from('%PDF-1.4 not much').toString('base64') };
const hello = { messages: [{ role: 'user', text: 'Två koppar, “tack”. ☕\n\\"' }], max_tokens: 900 };
const tools = [{ name: 'forecast', description: 'The “weather”', schema: forecastSchema, zod: forecastInput }];
const sent = tools.map(({ zod, ...one }) => one);
const present = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
let stack;

before(async () => (stack = await startStack(storyScripts, { host: 'openai', models: storyModels })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

for (const caller of callers) {
  const others = upstreams.filter(({ format, variant }) => format !== caller.format && (caller.variants || !variant));
  for (const upstream of others) cell(caller, upstream);
}

function cell(caller, upstream) {
  const title = (what) => `${caller.name} → ${upstream.format}: ${what}`;
  const ask = (story, more = hello) => ({ model: modelOf(upstream, story), ...more });

  // The requests that reached the provider, each with its key, path and model, and
  // (unless undefined) saying this. In the caller's words, so far as it has them.
  function saw(story, ...expected) {
    const { dialect } = upstream;
    const model = modelOf(upstream, story);
    const paths = stack.mock.requests.map((request) => upstream.path({ model, stream: upstream.streams(request) }));
    const seen = [stack.saw(...expected.map((_, i) => ({ dialect, path: paths[i], model })))].flat();
    expected.forEach((request, i) => {
      if (!request) return;
      const { stream = undefined, ...said } = upstream.read(seen[i].body);
      assert.deepEqual(said, request, 'what the provider was asked');
      assert.ok([undefined, true, false].includes(stream));
    });
    return seen;
  }

  // Counts that one of both has no word for are 0 or missing.
  function toldUsage(usage) {
    const told = (name) => upstream.tells[name] !== false && caller.tells[name] !== false;
    return Object.fromEntries(
      Object.entries(usage).map(([name, count]) => [name, told(name) ? USAGE[name] : (assert.ok(!count), count)]),
    );
  }

  // What the provider reads of a tool's results.
  const arrived = (results) => results.map(({ id, text }) => ({ id, text: caller.wrapped?.(text) ?? text }));

  const ways = [
    ['create', caller.create],
    ['stream', caller.stream],
  ];

  // ---- answers ----

  for (const [way, call] of ways) {
    test(title(`${way}: text and usage`), async () => {
      const pieces = [];
      const { text, stop, usage, calls } = await call(stack, ask('text', { ...hello, system: 'Be “brief”.' }), {
        onText: (piece) => pieces.push(piece),
      });
      assert.equal(text, TEXT);
      assert.equal(stop, 'end');
      assert.equal(calls, undefined);
      assert.deepEqual(usage, toldUsage(usage));
      if (way === 'stream') assert.deepEqual(pieces, PIECES, 'each event is one');
      const [seen] = saw('text', { ...hello, system: 'Be “brief”.' });
      assert.equal(upstream.streams(seen) ?? false, way === 'stream');
    });

    test(title(`${way}: it stops for length`), async () => {
      const { text, stop } = await call(stack, ask('length'));
      assert.deepEqual({ text, stop }, { text: TEXT, stop: 'length' });
      saw('length', hello);
    });

    test(title(`${way}: it stops at a sequence`), async () => {
      const request = { ...hello, stop: caller.takes.stop ? ['END', '“\n”'] : undefined };
      if (request.stop && !upstream.takes.stop) {
        const failed = caller.failed(await failure(call(stack, ask('sequence', request))));
        assert.deepEqual([failed.status, failed.header('x-relay-error')], [400, 'invalid_field']);
        return stack.sawNothing();
      }
      const answer = await call(stack, ask('sequence', request));
      const told = upstream.tells.sequence && caller.tells.sequence;
      assert.equal(answer.text, TEXT);
      assert.deepEqual([answer.stop, answer.sequence], told ? ['sequence', 'END'] : ['end', undefined]);
      saw('sequence', present(request));
    });

    test(title(`${way}: it refuses`), async () => {
      const { text, stop } = await call(stack, ask('refuses'));
      const words = caller.tells.refusal ?? true;
      if (words === true || words === upstream.tells.refusal) assert.equal(text, REFUSAL);
      if (words) assert.equal(stop, 'refusal');
      saw('refuses', hello);
    });

    test(title(`${way}: it thinks first`), async () => {
      const { text, thinking } = await call(stack, ask('thinks'));
      assert.equal(text, TEXT);
      const shown = caller.tells.thinking && (upstream.tells.signed === 'anthropic' || caller.tells.unsigned);
      assert.equal(thinking, shown ? THINKING : undefined);
      saw('thinks', hello);
    });
  }

  test(title('images'), async () => {
    const images = [{ media_type: 'image/png', data: PIXEL }, { url: 'https://images.example/a%20b.png?x=1&y=%222' }];
    if (!upstream.takes.url || !caller.takes.url) images.pop();
    const request = { messages: [{ role: 'user', text: 'What is this?', images }], max_tokens: 900 };
    assert.equal((await caller.create(stack, ask('text', request))).text, TEXT);
    saw('text', request);
  });

  test(title('a document'), async () => {
    const request = { messages: [{ role: 'user', text: 'What is this?', images: [PDF] }], max_tokens: 900 };
    assert.equal((await caller.create(stack, ask('text', request))).text, TEXT);
    saw('text', request);
  });

  test(title('a conversation: roles and texts keep their places'), async () => {
    const request = {
      ...hello,
      system: 'Be brief.',
      messages: [
        { role: 'user', text: 'One' },
        { role: 'assistant', text: 'Two' },
        { role: 'user', text: 'Three' },
      ],
    };
    assert.equal((await caller.create(stack, ask('text', request))).text, TEXT);
    saw('text', request);
  });

  test(title('a request of some megabytes arrives whole'), async () => {
    const text = 'Ångström 😀 "quoted" \\ \u2028 \u0001'.repeat(50000);
    const request = { ...hello, messages: [{ role: 'user', text }] };
    assert.equal((await caller.create(stack, ask('text', request))).text, TEXT);
    saw('text', request);
  });

  test(title('twenty streams at a time: each caller gets its own'), async () => {
    const texts = Array.from({ length: 20 }, (_, i) => `this is ${i} and only ${i} `.repeat(1 + (i % 7)));
    const requests = texts.map((text) => ({ ...hello, messages: [{ role: 'user', text }] }));
    const answers = await Promise.all(requests.map((request) => caller.stream(stack, ask('repeats', request))));
    assert.deepEqual(
      answers.map(({ text }) => text),
      texts,
    );
    const seen = saw('repeats', ...texts.map(() => undefined));
    assert.deepEqual(seen.map(({ body }) => upstream.read(body).messages[0].text).sort(), [...texts].sort());
  });

  // ---- tools ----

  for (const [way, call] of ways) {
    test(title(`${way}: two calls at once, and their results back`), async () => {
      const request = { ...hello, tools };
      const { text, calls, stop } = await call(stack, ask('calls', request));
      assert.deepEqual({ text, calls, stop }, { text: TEXT_BEFORE_CALLS, calls: CITIES, stop: 'tools' });
      const results = CITIES.map(({ id, input: { city } }) => ({ id, text: `Snow in ${city}.` }));
      const messages = [...hello.messages, { role: 'assistant', text, calls }, { role: 'user', results }];
      const next = { ...request, messages };
      const answer = await call(stack, ask('calls', next));
      assert.deepEqual([answer.text, answer.stop], [TEXT, 'end']);
      const [first, second] = saw('calls', undefined, undefined).map(({ body }) => upstream.read(body));
      for (const seen of [first, second]) {
        assert.ok(['auto', undefined].includes(seen.choice));
        assert.deepEqual(
          seen.tools.map(({ schema: { $schema, additionalProperties, ...schema }, ...one }) => ({ ...one, schema })),
          sent,
        );
      }
      assert.deepEqual(first.messages, hello.messages);
      assert.deepEqual(second.messages, [...messages.slice(0, 2), { role: 'user', results: arrived(results) }]);
    });
  }

  for (const [way] of ways) {
    test(title(`${way}: the helper runs both tools, once each`), async () => {
      const inputs = [];
      const handler = (input) => (inputs.push(input), `Snow in ${input.city}.`);
      const { text, stop } = await caller.run(stack, ask('calls', { ...hello, tools }), handler, {
        stream: way === 'stream',
      });
      assert.deepEqual([text, stop], [TEXT, 'end']);
      assert.deepEqual(
        inputs,
        CITIES.map(({ input }) => input),
        'one call each',
      );
      const [, second] = saw('calls', undefined, undefined).map(({ body }) => upstream.read(body).messages);
      assert.deepEqual(second, [
        ...hello.messages,
        { role: 'assistant', text: TEXT_BEFORE_CALLS, calls: CITIES },
        { role: 'user', results: arrived(CITIES.map(({ id, input: { city } }) => ({ id, text: `Snow in ${city}.` }))) },
      ]);
    });
  }

  // Gemini signs calls, the others what was thought before.
  const { signed } = upstream.tells;
  const shown = signed === 'calls' || signed === 'anthropic' || (signed && caller.tells.unsigned);
  for (const way of signed === 'calls' ? ['create', 'stream'] : ((shown && caller.returns) || [])) {
    test(title(`${way}: what was signed goes back with the results, as it was`), async () => {
      const request = ask('ponders', { ...hello, tools });
      const { text } = await caller.run(stack, request, () => 'Snow.', { stream: way === 'stream' });
      assert.equal(text, TEXT);
      const [, { messages }] = saw('ponders', undefined, undefined).map(({ body }) => upstream.read(body));
      const { calls, thinking } = messages[1];
      if (signed === 'calls') assert.deepEqual(calls, [{ ...CITIES[0], signature: SIGNATURE }, CITIES[1]]);
      else assert.deepEqual([thinking, calls], [[THINKING, SIGNATURE], CITIES]);
    });
  }

  for (const [way, call] of ways) {
    test(title(`${way}: a call without arguments`), async () => {
      const bare = [{ name: 'forecast', description: 'Now', schema: { type: 'object', properties: {} } }];
      const { text, calls, stop } = await call(stack, ask('calls-bare', { ...hello, tools: bare }));
      assert.deepEqual([text, calls, stop], ['', [{ id: 'call_3cC', name: 'forecast', input: {} }], 'tools']);
      saw('calls-bare', undefined);
    });
  }

  test(title('results in another order, an empty one, and a text behind them'), async () => {
    const results = [
      { id: CITIES[1].id, text: 'Snow.' },
      { id: CITIES[0].id, text: '' },
    ];
    const messages = [
      ...hello.messages,
      { role: 'assistant', calls: CITIES },
      { role: 'user', results, text: 'And tomorrow?' },
    ];
    await caller.create(stack, ask('text', { ...hello, tools, messages }));
    const [seen] = saw('text', undefined).map(({ body }) => upstream.read(body));
    const byId = (list) => [...list].sort((a, b) => a.id.localeCompare(b.id));
    assert.deepEqual(seen.messages.slice(0, 2), messages.slice(0, 2));
    assert.deepEqual(byId(seen.messages[2].results), byId(arrived(results)));
    assert.equal(seen.messages[2].text, 'And tomorrow?');
  });

  for (const choice of ['auto', 'required', 'none', 'forecast']) {
    test(title(`tool choice ${choice}`), async () => {
      const story = choice === 'none' ? 'text' : 'calls';
      await caller.create(stack, ask(story, { ...hello, tools, choice }));
      const [seen] = saw(story, undefined).map(({ body }) => upstream.read(body));
      // an SDK may leave the tools out where none may be called
      assert.ok(seen.choice === choice || (choice === 'none' && !seen.tools), JSON.stringify(seen.choice));
    });
  }

  test(title('one call at a time'), async () => {
    if (!caller.takes.serial) return;
    const { headers } = await caller.create(stack, ask('text', { ...hello, tools, choice: 'auto', serial: true }));
    const [seen] = saw('text', undefined).map(({ body }) => upstream.read(body));
    assert.deepEqual([seen.choice, seen.serial], ['auto', upstream.takes.serial ? true : undefined]);
    if (!upstream.takes.serial) assert.match(headers.get('x-relay-dropped'), /parallel/);
  });

  // ---- structured output ----

  for (const stream of [false, true]) {
    test(title(`a schema goes out, a structure comes back${stream ? ', streaming' : ''}`), async () => {
      const schema = z.object({ city: z.string(), degrees: z.number(), sky: z.array(z.string()) });
      assert.deepEqual(await caller.parse(stack, ask('structured'), schema, { stream }), WEATHER);
      const [seen] = saw('structured', undefined).map(({ body }) => upstream.read(body));
      assert.deepEqual(Object.keys(seen.schema.properties), ['city', 'degrees', 'sky']);
      assert.deepEqual(seen.schema.properties.sky, { type: 'array', items: { type: 'string' } });
      assert.deepEqual(seen.schema.required, ['city', 'degrees', 'sky']);
    });
  }

  // ---- headers ----

  test(title('headers: what is of the provider’s vendor alone stays behind'), async () => {
    const own = { gemini: 'x-goog-user-project' }[caller.dialect] ?? `${caller.dialect}-beta`;
    const same = caller.format === upstream.variant;
    const stays = caller.dialect !== upstream.dialect && !same;
    const headers = { 'x-team': 'blue', [own]: 'some-2031-01-01' };
    const answer = await caller.create(stack, ask('text'), { headers });
    assert.equal(answer.headers.get('x-relay-host'), upstream.host);
    assert.equal(answer.headers.get('x-relay-attempts'), '1');
    assert.equal(answer.headers.get('x-relay-dropped'), null);
    assert.equal(answer.headers.get('x-other'), 'kept');
    assert.equal(answer.headers.get(upstream.private_header), stays ? null : upstream.headers[upstream.private_header]);
    const [seen] = saw('text', hello);
    assert.equal(seen.headers['x-team'], 'blue');
    if (!same) assert.equal(seen.headers[own], undefined);
    const stainless = Object.keys(seen.headers).filter((name) => /^x-stainless-/.test(name));
    if (!same) assert.deepEqual(stainless, []);
  });

  // ---- errors ----

  const expected = {
    invalid: ['BadRequestError', caller.errors.invalid ?? 'invalid_request_error'],
    missing: ['NotFoundError', undefined],
    limited: ['RateLimitError', caller.errors.limited],
    failed: ['InternalServerError', caller.errors.failed],
    overloaded: ['InternalServerError', caller.errors.overloaded],
  };

  // Who is overloaded has a status of its own with one vendor; callers get that of theirs.
  function statusOf(fault) {
    if (fault !== 'overloaded') return upstream.status(fault);
    return caller.dialect === 'anthropic' ? 529 : 503;
  }

  function checkType(failed, type) {
    assert.equal(failed.type, caller.error_class ?? type);
  }

  for (const [way, call] of ways) {
    for (const [fault, [type, wire]] of Object.entries(expected)) {
      test(title(`${way}: ${type}, ${fault}`), async () => {
        const failed = caller.failed(await failure(call(stack, ask(fault))));
        checkType(failed, type);
        assert.equal(failed.status, statusOf(fault));
        assert.equal(failed.message, FAULT_TEXT[fault]);
        if (wire) assert.equal(failed.wire, wire);
        if (fault === 'limited') assert.equal(failed.header('retry-after'), String(RETRY_AFTER_S));
        assert.ok(!failed.header('x-relay-error'), 'it is not Relay’s own');
        saw(fault, hello);
      });
    }

    test(title(`${way}: the provider refuses its key, which is not the caller’s`), async () => {
      const failed = caller.failed(await failure(call(stack, ask('key'))));
      checkType(failed, 'InternalServerError');
      assert.ok(failed.status >= 500);
      assert.equal(failed.header('x-relay-error'), 'upstream_key');
      assert.ok(!failed.message.includes(FAULT_TEXT.key));
      saw('key', hello);
    });

    test(title(`${way}: AuthenticationError, an unknown relay key`), async () => {
      const failed = caller.failed(await failure(call(stack, ask('text'), { apiKey: WRONG_RELAY_KEY })));
      checkType(failed, 'AuthenticationError');
      assert.deepEqual([failed.status, failed.header('x-relay-error')], [401, 'invalid_relay_key']);
      stack.sawNothing();
    });

    test(title(`${way}: BadRequestError, a call without its result`), async () => {
      const messages = [
        ...hello.messages,
        { role: 'assistant', text: 'Hm.', calls: [CITIES[0]] },
        { role: 'user', text: 'And?' },
      ];
      if (caller.format === upstream.variant) return; // the provider sees to it
      const error = await failure(call(stack, ask('text', { ...hello, tools, messages })));
      if (error.name === 'AI_MissingToolResultsError') return; // this SDK sees to it itself
      const failed = caller.failed(error);
      checkType(failed, 'BadRequestError');
      assert.equal(failed.status, 400);
      assert.ok(failed.message.includes(CITIES[0].id), failed.message);
      stack.sawNothing();
    });
  }

  for (const story of ['breaks', 'cut']) {
    test(title(`an error in the middle of a stream (${story})`), async () => {
      let text = '';
      const error = await failure(caller.stream(stack, ask(story), { onText: (piece) => (text += piece) }));
      const failed = caller.failed(error);
      assert.equal(text, 'So far', 'what came before has arrived');
      assert.ok(failed.told, `told, not a broken connection: ${error}`);
      if (story === 'breaks') assert.equal(failed.message, FAULT_TEXT.failed);
      else assert.ok(failed.message.length > 0);
      saw(story, hello);
    });
  }

  // ---- the caller leaves ----

  for (const story of ['endless', 'stalled']) {
    test(title(`abort in the middle of a stream (${story}): the provider is left at once`), async () => {
      const controller = new AbortController();
      let began;
      const first = new Promise((resolve) => (began = resolve));
      const failed = failure(caller.stream(stack, ask(story), { signal: controller.signal, onText: began }));
      await Promise.race([first, failed]);
      if (story === 'stalled') await sleep(80); // nothing on the way any more
      const left_ms = performance.now();
      controller.abort();
      assert.ok(caller.failed(await failed).left, String(await failed));
      await closedSoonAfter(saw(story, hello)[0], left_ms);
    });
  }

  test(title('abort before any answer: the provider is left at once'), async () => {
    const controller = new AbortController();
    const failed = failure(caller.create(stack, ask('silent'), { signal: controller.signal }));
    await waitFor('the request reached the provider', 3000, () => stack.mock.requests.length);
    const left_ms = performance.now();
    controller.abort();
    assert.ok(caller.failed(await failed).left, String(await failed));
    await closedSoonAfter(saw('silent', hello)[0], left_ms);
  });
}

// ---- what only some have -----------------------------------------------------------

// As a client collects it: texts add up, lists are joined.
async function collectMessage(stream) {
  const deltas = (await collect(stream)).flatMap(({ choices }) => choices.map(({ delta }) => delta));
  const joined = (name) => deltas.map((delta) => delta[name] ?? '').join('');
  return {
    role: 'assistant',
    content: joined('content'),
    reasoning_content: joined('reasoning_content'),
    reasoning_details: deltas.flatMap((delta) => delta.reasoning_details ?? []),
  };
}

for (const stream of [false, true]) {
  test(`thinking with a signature, told to a chat, goes back as it came${stream ? ', streaming' : ''}`, async () => {
    const { completions } = openai(stack).chat;
    for (const upstream of upstreams.filter(({ tells }) => tells.signed === 'anthropic')) {
      stack.mock.clear();
      const one = { role: 'user', content: 'One' };
      const body = { model: modelOf(upstream, 'thinks'), messages: [one] };
      const message = stream
        ? await collectMessage(await completions.create({ ...body, stream }))
        : (await completions.create(body)).choices[0].message;
      await completions.create({ ...body, messages: [one, message, { role: 'user', content: 'Two' }] });
      const [, said] = upstream.read(stack.mock.requests.at(-1).body).messages;
      assert.deepEqual(said, { role: 'assistant', text: TEXT, thinking: [THINKING, SIGNATURE] });
    }
  });
}

test('usage that a chat did not ask for is not told', async () => {
  for (const upstream of upstreams.filter(({ format }) => format !== 'openai-chat')) {
    const body = { model: modelOf(upstream, 'text'), messages: [{ role: 'user', content: 'Hello' }], stream: true };
    const chunks = await collect(await openai(stack).chat.completions.create(body));
    assert.ok(chunks.every(({ choices, usage }) => choices.length === 1 && !usage));
    assert.equal(chunks.map(({ choices: [{ delta }] }) => delta.content ?? '').join(''), TEXT);
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  }
});

test('documents, failed results and cache markers of Anthropic’s SDK', async () => {
  const mark = { cache_control: { type: 'ephemeral' } };
  const [{ id, name, input }] = CITIES;
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'document', title: 'a.pdf', source: { type: 'base64', ...PDF } },
        { type: 'text', text: 'Read.', ...mark },
      ],
    },
    { role: 'assistant', content: [{ type: 'tool_use', id, name, input }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, is_error: true, content: 'No such city' }] },
  ];
  for (const upstream of upstreams.filter(({ format }) => format !== 'anthropic-messages')) {
    stack.mock.clear();
    const body = { model: modelOf(upstream, 'text'), max_tokens: 10, messages };
    const { data, response } = await anthropic(stack).messages.create(body).withResponse();
    assert.equal(data.content[0].text, TEXT);
    if (!upstream.takes.cache) assert.match(response.headers.get('x-relay-dropped'), /cache_control/);
    const [first, second, third] = upstream.read(stack.mock.requests[0].body).messages;
    assert.deepEqual(first, { role: 'user', text: 'Read.', images: [PDF] });
    assert.deepEqual(second.calls, [CITIES[0]]);
    assert.match(third.results[0].text, /No such city$/);
  }
});

// OpenAI's SDK: every class of error, retries, and request ids.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';

import OpenAI from 'openai';

import { failure, openai } from './clients.mjs';
import { CHAT_TEXT, openaiScripts, REQUEST_ID } from './openai_answers.mjs';
import { closedSoonAfter, FORBIDDEN_MODEL, startStack, WRONG_RELAY_KEY } from './stack.mjs';

const PATH = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hello' }];
let stack;

before(async () => (stack = await startStack(openaiScripts, { host: 'openai' })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

function chat(body, options) {
  return openai(stack, options).chat.completions.create({ messages, ...body });
}

// An error of Relay's own.
function checkOwn(error, type, status, code) {
  assert.ok(error instanceof type, `${type.name}: ${error}`);
  assert.equal(error.status, status);
  assert.equal(typeof error.error.message, 'string');
  assert.equal(typeof error.type, 'string');
  assert.equal(error.headers.get('x-relay-error'), code);
  assert.match(error.requestID, /^[0-9a-f]{32}$/);
  assert.equal(error.requestID, error.headers.get('x-relay-request-id'));
}

// ---- Relay's own ------------------------------------------------------------

test('AuthenticationError: an unknown relay key', async () => {
  const error = await failure(chat({ model: 'chat' }, { apiKey: WRONG_RELAY_KEY }));
  checkOwn(error, OpenAI.AuthenticationError, 401, 'invalid_relay_key');
  assert.equal(error.code, 'invalid_api_key');
  assert.ok(!error.message.includes(WRONG_RELAY_KEY));
  stack.sawNothing();
});

test('AuthenticationError of a stream, of models, of embeddings, of responses', async () => {
  const client = openai(stack, { apiKey: WRONG_RELAY_KEY });
  for (const call of [
    () => client.chat.completions.create({ model: 'chat', messages, stream: true }),
    () => client.models.list(),
    () => client.embeddings.create({ model: 'embedding', input: 'x' }),
    () => client.responses.create({ model: 'response', input: 'x' }),
  ]) {
    checkOwn(await failure(call()), OpenAI.AuthenticationError, 401, 'invalid_relay_key');
  }
  stack.sawNothing();
});

test('BadRequestError: no model', async () => {
  const error = await failure(chat({}));
  checkOwn(error, OpenAI.BadRequestError, 400, 'missing_field');
  assert.equal(error.param, 'model');
  assert.equal(error.type, 'invalid_request_error');
  stack.sawNothing();
});

test('PermissionDeniedError: the policy refuses the model', async () => {
  const error = await failure(chat({ model: FORBIDDEN_MODEL }));
  checkOwn(error, OpenAI.PermissionDeniedError, 403, 'model_not_allowed');
  stack.sawNothing();
});

test('NotFoundError: no such model', async () => {
  const error = await failure(chat({ model: 'no-such-model' }));
  checkOwn(error, OpenAI.NotFoundError, 404, 'model_not_found');
  assert.equal(error.code, 'model_not_found');
  stack.sawNothing();
});

test('NotFoundError: no such path', async () => {
  const error = await failure(openai(stack).post('/nothing/here', { body: { model: 'chat' } }));
  checkOwn(error, OpenAI.NotFoundError, 404, 'path_not_found');
  stack.sawNothing();
});

test('InternalServerError: the provider refuses its key, which is not the caller’s', async () => {
  const error = await failure(chat({ model: 'error-401' }));
  checkOwn(error, OpenAI.InternalServerError, 502, 'upstream_key');
  assert.ok(!error.message.includes('Incorrect API key'));
  stack.saw({ dialect: 'openai', path: PATH, model: 'error-401' });
});

// ---- the provider's ---------------------------------------------------------

const { BadRequestError, ConflictError, InternalServerError, NotFoundError, RateLimitError, UnprocessableEntityError } =
  OpenAI;

for (const [model, type, status, message, members] of [
  [
    'error-400',
    BadRequestError,
    400,
    'that temperature does not exist',
    { param: 'temperature', code: 'unsupported_value', type: 'invalid_request_error' },
  ],
  ['error-404', NotFoundError, 404, 'no such deployment', { code: 'model_not_found' }],
  ['error-409', ConflictError, 409, 'in use', { type: 'invalid_request_error' }],
  ['error-422', UnprocessableEntityError, 422, 'cannot make sense of it', { type: 'invalid_request_error' }],
  ['error-429', RateLimitError, 429, 'slow down', { type: 'requests', code: 'rate_limit_exceeded' }],
  ['error-500', InternalServerError, 500, 'it broke', { type: 'server_error' }],
  ['error-503', InternalServerError, 503, 'overloaded', { code: 'server_is_overloaded' }],
]) {
  for (const stream of [false, true]) {
    test(`${type.name} ${status} of the provider${stream ? ', of a stream' : ''}`, async () => {
      const error = await failure(chat({ model, stream }));
      assert.ok(error instanceof type, String(error));
      assert.equal(error.status, status);
      assert.equal(error.error.message, message);
      for (const [name, value] of Object.entries(members)) assert.equal(error[name], value, name);
      assert.equal(error.requestID, REQUEST_ID);
      stack.saw({ dialect: 'openai', path: PATH, model });
    });
  }
}

test('RateLimitError has retry-after: the provider’s, or one of Relay’s', async () => {
  const given = await failure(chat({ model: 'error-429' }));
  assert.equal(given.headers.get('retry-after'), '7');
  const bare = await failure(chat({ model: 'error-429-bare' }));
  assert.ok(bare instanceof RateLimitError);
  assert.match(bare.headers.get('retry-after'), /^[1-9]\d?$/);
  stack.saw(
    { dialect: 'openai', path: PATH, model: 'error-429' },
    { dialect: 'openai', path: PATH, model: 'error-429-bare' },
  );
});

test('the SDK retries after a 429, once, when it was told to', async () => {
  const began_ms = performance.now();
  const answer = await chat({ model: 'limited-once' }, { maxRetries: 1 });
  assert.equal(answer.choices[0].message.content, CHAT_TEXT);
  const waited_ms = performance.now() - began_ms;
  assert.ok(waited_ms >= 950 && waited_ms < 3000, `waited ${waited_ms} ms for a retry-after of 1 s`);
  const body = { model: 'limited-once', messages };
  const one = { dialect: 'openai', path: PATH, model: 'limited-once', body };
  stack.saw(one, one);
});

// ---- time and streams -------------------------------------------------------

test('APIConnectionTimeoutError: and the provider is left', async () => {
  const began_ms = performance.now();
  const error = await failure(chat({ model: 'silent' }, { timeout: 300 }));
  const left_ms = performance.now();
  assert.ok(error instanceof OpenAI.APIConnectionTimeoutError, String(error));
  assert.ok(left_ms - began_ms >= 290);
  await closedSoonAfter(stack.saw({ dialect: 'openai', path: PATH, model: 'silent' }), left_ms);
});

for (const [model, message] of [
  ['fails-midway', /the model tripped/],
  ['cut-midway', /./],
]) {
  test(`APIError in the middle of a stream: ${model}`, async () => {
    const stream = await chat({ model, stream: true });
    let text = '';
    const error = await failure(
      (async () => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
      })(),
    );
    assert.equal(text, 'So far', 'what came before has arrived');
    assert.ok(error instanceof OpenAI.APIError, `${error.constructor.name}: ${error}`);
    assert.ok(!(error instanceof OpenAI.APIConnectionError), 'an error that was told, not a broken connection');
    assert.match(error.error.message, message);
    stack.saw({ dialect: 'openai', path: PATH, model });
  });
}

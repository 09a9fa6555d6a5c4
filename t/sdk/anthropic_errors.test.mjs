// Anthropic's SDK: every class of error, retries, and request ids.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { performance } from 'node:perf_hooks';

import Anthropic from '@anthropic-ai/sdk';

import { anthropic, failure } from './clients.mjs';
import { anthropicScripts, REQUEST_ID, TEXT } from './anthropic_answers.mjs';
import { closedSoonAfter, FORBIDDEN_MODEL, startStack, WRONG_RELAY_KEY } from './stack.mjs';

const PATH = '/v1/messages';
const dialect = 'anthropic';
const messages = [{ role: 'user', content: 'Hello' }];
let stack;

before(async () => (stack = await startStack(anthropicScripts, { host: 'anthropic' })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

function create(body, options) {
  return anthropic(stack, options).messages.create({ max_tokens: 10, messages, ...body });
}

// An error of Relay's own.
function checkOwn(error, type, status, code, wireType) {
  assert.ok(error instanceof type, `${type.name}: ${error}`);
  assert.equal(error.status, status);
  assert.equal(error.error.type, 'error');
  assert.equal(error.error.error.type, wireType);
  assert.equal(typeof error.error.error.message, 'string');
  assert.equal(error.headers.get('x-relay-error'), code);
  assert.match(error.requestID, /^[0-9a-f]{32}$/);
  assert.equal(error.requestID, error.headers.get('x-relay-request-id'));
  assert.equal(error.error.request_id, error.requestID);
}

// ---- Relay's own ------------------------------------------------------------

for (const [style, options] of [
  ['apiKey', { apiKey: WRONG_RELAY_KEY }],
  ['authToken', { apiKey: null, authToken: WRONG_RELAY_KEY }],
]) {
  test(`AuthenticationError: an unknown relay key as ${style}`, async () => {
    const client = anthropic(stack, options);
    for (const call of [
      () => client.messages.create({ model: 'plain', max_tokens: 10, messages }),
      () => client.messages.create({ model: 'plain', max_tokens: 10, messages, stream: true }),
      () => client.messages.countTokens({ model: 'plain', messages }),
      () => client.models.list(),
    ]) {
      const error = await failure(call());
      checkOwn(error, Anthropic.AuthenticationError, 401, 'invalid_relay_key', 'authentication_error');
      assert.ok(!error.message.includes(WRONG_RELAY_KEY));
    }
    stack.sawNothing();
  });
}

test('BadRequestError: no model', async () => {
  const error = await failure(create({}));
  checkOwn(error, Anthropic.BadRequestError, 400, 'missing_field', 'invalid_request_error');
  assert.match(error.error.error.message, /model/);
  stack.sawNothing();
});

test('PermissionDeniedError: the policy refuses the model', async () => {
  const error = await failure(create({ model: FORBIDDEN_MODEL }));
  checkOwn(error, Anthropic.PermissionDeniedError, 403, 'model_not_allowed', 'permission_error');
  stack.sawNothing();
});

test('NotFoundError: no such model', async () => {
  const error = await failure(create({ model: 'no-such-model' }));
  checkOwn(error, Anthropic.NotFoundError, 404, 'model_not_found', 'not_found_error');
  stack.sawNothing();
});

test('InternalServerError: the provider refuses its key, which is not the caller’s', async () => {
  const error = await failure(create({ model: 'error-401' }));
  assert.ok(error.status >= 500);
  checkOwn(error, Anthropic.InternalServerError, error.status, 'upstream_key', 'api_error');
  assert.ok(!error.message.includes('invalid x-api-key'));
  stack.saw({ dialect, path: PATH, model: 'error-401' });
});

// ---- the provider's ---------------------------------------------------------

const { BadRequestError, ConflictError, InternalServerError, NotFoundError, RateLimitError, UnprocessableEntityError } =
  Anthropic;

for (const [model, type, status, wireType, message] of [
  ['error-400', BadRequestError, 400, 'invalid_request_error', 'max_tokens: too many'],
  ['error-404', NotFoundError, 404, 'not_found_error', 'model: nowhere'],
  ['error-409', ConflictError, 409, 'invalid_request_error', 'in use'],
  ['error-422', UnprocessableEntityError, 422, 'invalid_request_error', 'cannot make sense of it'],
  ['error-429', RateLimitError, 429, 'rate_limit_error', 'slow down'],
  ['error-500', InternalServerError, 500, 'api_error', 'it broke'],
  ['error-529', InternalServerError, 529, 'overloaded_error', 'Overloaded'],
]) {
  for (const stream of [false, true]) {
    test(`${type.name} ${status} of the provider${stream ? ', of a stream' : ''}`, async () => {
      const error = await failure(create({ model, stream }));
      assert.ok(error instanceof type, String(error));
      assert.equal(error.status, status);
      assert.deepEqual(error.error, { type: 'error', error: { type: wireType, message }, request_id: REQUEST_ID });
      assert.equal(error.requestID, REQUEST_ID);
      stack.saw({ dialect, path: PATH, model });
    });
  }
}

test('RateLimitError has retry-after: the provider’s, or one of Relay’s', async () => {
  const given = await failure(create({ model: 'error-429' }));
  assert.equal(given.headers.get('retry-after'), '9');
  const bare = await failure(create({ model: 'error-429-bare' }));
  assert.ok(bare instanceof RateLimitError);
  assert.match(bare.headers.get('retry-after'), /^[1-9]\d?$/);
  stack.saw({ dialect, path: PATH, model: 'error-429' }, { dialect, path: PATH, model: 'error-429-bare' });
});

test('the SDK retries after a 429, once, when it was told to', async () => {
  const began_ms = performance.now();
  const answer = await create({ model: 'limited-once' }, { maxRetries: 1 });
  assert.equal(answer.content[0].text, TEXT);
  const waited_ms = performance.now() - began_ms;
  assert.ok(waited_ms >= 950 && waited_ms < 3000, `waited ${waited_ms} ms for a retry-after of 1 s`);
  const one = { dialect, path: PATH, model: 'limited-once', body: { model: 'limited-once', max_tokens: 10, messages } };
  stack.saw(one, one);
});

// ---- time and streams -------------------------------------------------------

test('APIConnectionTimeoutError: and the provider is left', async () => {
  const began_ms = performance.now();
  const error = await failure(create({ model: 'silent' }, { timeout: 300 }));
  const left_ms = performance.now();
  assert.ok(error instanceof Anthropic.APIConnectionTimeoutError, String(error));
  assert.ok(left_ms - began_ms >= 290);
  await closedSoonAfter(stack.saw({ dialect, path: PATH, model: 'silent' }), left_ms);
});

for (const [model, wireType] of [
  ['fails-midway', 'overloaded_error'],
  ['cut-midway', 'api_error'],
]) {
  test(`APIError in the middle of a stream: ${model}`, async () => {
    const stream = anthropic(stack).messages.stream({ model, max_tokens: 10, messages });
    let text = '';
    stream.on('text', (piece) => (text += piece));
    const error = await failure(stream.finalMessage());
    assert.equal(text, 'So far', 'what came before has arrived');
    assert.ok(error instanceof Anthropic.APIError, `${error.constructor.name}: ${error}`);
    assert.ok(!(error instanceof Anthropic.APIConnectionError), 'an error that was told, not a broken connection');
    assert.equal(error.error.error.type, wireType);
    assert.equal(error.requestID, REQUEST_ID);
    stack.saw({ dialect, path: PATH, model });
  });
}

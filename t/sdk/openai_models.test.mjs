// OpenAI's SDK: model lists. No provider is asked.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import OpenAI from 'openai';

import { collect, failure, openai } from './clients.mjs';
import { openaiScripts } from './openai_answers.mjs';
import { FORBIDDEN_MODEL, startStack } from './stack.mjs';

const offers = [{ host: 'openai' }];
const models = {
  'vendor/deep/name': { offers, owned_by: 'acme', created: 1700000000 },
  'ft:base:team::1': { offers },
  'only-anthropic': { offers: [{ host: 'anthropic' }] },
};
let stack;

before(async () => (stack = await startStack(openaiScripts, { host: 'openai', models })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

test('models.list: what the key may use from this dialect, translated or not', async () => {
  const page = await openai(stack).models.list();
  const ids = (await collect(page)).map((model) => model.id);
  assert.deepEqual(ids, [...Object.keys(openaiScripts), ...Object.keys(models)].sort());
  assert.ok(!ids.includes(FORBIDDEN_MODEL));
  for (const model of page.data) {
    assert.equal(model.object, 'model');
    assert.equal(typeof model.created, 'number');
    assert.equal(typeof model.owned_by, 'string');
  }
  stack.sawNothing();
});

for (const id of ['chat', 'vendor/chat-v1', 'vendor/deep/name', 'ft:base:team::1', 'only-anthropic']) {
  test(`models.retrieve: ${id}`, async () => {
    const model = await openai(stack).models.retrieve(id);
    assert.equal(model.id, id);
    assert.equal(model.object, 'model');
    if (id === 'vendor/deep/name') assert.deepEqual([model.owned_by, model.created], ['acme', 1700000000]);
    assert.match(model._request_id, /^[0-9a-f]{32}$/);
    stack.sawNothing();
  });
}

test('a model whose name has a slash answers', async () => {
  const body = { model: 'vendor/chat-v1', messages: [{ role: 'user', content: 'Hello' }] };
  await openai(stack).chat.completions.create(body);
  stack.saw({ dialect: 'openai', path: '/v1/chat/completions', model: 'vendor/chat-v1', body });
});

for (const id of ['no/such/model', FORBIDDEN_MODEL]) {
  test(`models.retrieve, NotFoundError: ${id}`, async () => {
    const error = await failure(openai(stack).models.retrieve(id));
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.headers.get('x-relay-error'), 'model_not_found');
    assert.equal(error.requestID, error.headers.get('x-relay-request-id'));
    stack.sawNothing();
  });
}

// Anthropic's SDK: model lists, page by page. No provider is asked.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { anthropic, collect, failure } from './clients.mjs';
import { anthropicScripts } from './anthropic_answers.mjs';
import { FORBIDDEN_MODEL, startStack } from './stack.mjs';

const offers = [{ host: 'anthropic' }];
const models = {
  'vendor/deep/name': {
    offers,
    display_name: 'Deep Näme',
    created: 1700000000,
    context_tokens: 200000,
    output_tokens: 8192,
  },
  'only-chat': { offers: [{ host: 'openai', formats: ['openai-chat'] }] },
  embeddings: { offers: [{ host: 'openai', formats: ['openai-embeddings'] }] },
};
for (let i = 10; i < 35; i += 1) models[`many-${i}`] = { offers };

// What no request of this dialect reaches, translated or not, is not among them.
const ids = [...Object.keys(anthropicScripts), ...Object.keys(models)].filter((id) => id !== 'embeddings').sort();
let stack;

before(async () => (stack = await startStack(anthropicScripts, { host: 'anthropic', models })));
after(() => stack?.stop());
beforeEach(() => stack.mock.clear());

for (const [base, suffix] of [
  ['', ''],
  ['with the vendor prefix', '/anthropic'],
]) {
  for (const limit of [undefined, 1, 7, 1000]) {
    test(`models.list ${base}: every page, ${limit ?? 'default'} a page`, async () => {
      const client = anthropic(stack, { baseURL: stack.url + suffix });
      const first = await client.models.list(limit ? { limit } : {});
      const size = Math.min(limit ?? 20, ids.length);
      assert.equal(first.data.length, size);
      assert.equal(first.has_more, size < ids.length);
      assert.deepEqual([first.first_id, first.last_id], [ids[0], ids[size - 1]]);
      assert.deepEqual(
        (await collect(first)).map((model) => model.id),
        ids,
        'auto-pagination sees each once',
      );
      stack.sawNothing();
    });
  }
}

test('models.list backwards from before_id', async () => {
  const page = await anthropic(stack).models.list({ limit: 5, before_id: ids[12] });
  assert.deepEqual(
    page.data.map((model) => model.id),
    ids.slice(7, 12),
  );
  assert.equal(page.has_more, true);
  stack.sawNothing();
});

for (const id of ['plain', 'vendor/plain-v1', 'vendor/deep/name', 'only-chat']) {
  test(`models.retrieve: ${id}`, async () => {
    const model = await anthropic(stack).models.retrieve(id);
    assert.equal(model.id, id);
    assert.equal(model.type, 'model');
    assert.equal(model.display_name, models[id]?.display_name ?? id);
    assert.ok(!Number.isNaN(Date.parse(model.created_at)));
    if (models[id]?.created) {
      assert.equal(model.created_at, '2023-11-14T22:13:20Z');
      assert.deepEqual([model.max_input_tokens, model.max_tokens], [200000, 8192]);
    }
    assert.match(model._request_id, /^[0-9a-f]{32}$/);
    stack.sawNothing();
  });
}

for (const id of ['no/such/model', FORBIDDEN_MODEL, 'embeddings']) {
  test(`models.retrieve, NotFoundError: ${id}`, async () => {
    const error = await failure(anthropic(stack).models.retrieve(id));
    assert.ok(error instanceof Anthropic.NotFoundError, String(error));
    assert.equal(error.error.error.type, 'not_found_error');
    assert.equal(error.headers.get('x-relay-error'), 'model_not_found');
    stack.sawNothing();
  });
}

test('the beta list is the same one', async () => {
  assert.deepEqual(
    (await collect(anthropic(stack).beta.models.list({ limit: 9 }))).map((model) => model.id),
    ids,
  );
  stack.sawNothing();
});

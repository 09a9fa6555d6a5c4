// nginx with the module and the scripted provider behind it, on free ports, in
// a directory of their own; and what every test checks about the requests that
// reached the provider. Used by all *.test.mjs.
//
// RELAY_STACK=box runs the same tests against the whole product (box.mjs), with
// the same configuration by way of its admin API. RELAY_NGINX and RELAY_MODULE
// choose another nginx binary and module, as in the other end-to-end tests;
// RELAY_KEEP=1 keeps the directory.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { findBox } from './box.mjs';
import { Mock, UPSTREAM_PREFIX } from './mock.mjs';
import { answers, freePort, makeDirectory, project, removeDirectory, running, slurp, waitFor } from './processes.mjs';

export { waitFor };

assert.ok([undefined, 'module', 'box'].includes(process.env.RELAY_STACK), 'RELAY_STACK is module or box');

// Before the tests are defined: the key of a box is minted there.
const box = process.env.RELAY_STACK === 'box' ? await findBox() : undefined;

export const RELAY_KEY = box?.relay_key ?? 'sdk-test-relay-key-0000000001';
export const WRONG_RELAY_KEY = 'sdk-test-relay-key-that-is-wrong';
export const PROVIDER_KEY = {
  openai: 'provider-key-of-openai-0123456789',
  anthropic: 'provider-key-of-anthropic-0123456789',
  gemini: 'provider-key-of-gemini-0123456789',
  bedrock: 'AKIDOFBEDROCK:provider-key-of-bedrock-0123456789',
  vertex: 'provider-key-of-vertex-0123456789',
};

// A model that is offered, but refused by the policy.
export const FORBIDDEN_MODEL = 'forbidden-model';

// ---- the configuration ------------------------------------------------------

// One model for each script, under another name at the provider: offered by that
// host alone, since the other would be asked as well, in its own format.
function relayConfig(mock, host, models) {
  const origin = `http://127.0.0.1:${mock.port}`;
  const base_url = `${origin}/v1`;
  const offers = (name) => ({ offers: [{ host, id: UPSTREAM_PREFIX + name }] });
  return {
    hosts: {
      openai: {
        base_url,
        local: true,
        formats: ['openai-chat', 'openai-responses', 'openai-embeddings'],
      },
      anthropic: {
        base_url,
        local: true,
        formats: ['anthropic-messages'],
        auth: { header: 'x-api-key' },
        headers: { 'anthropic-version': '2023-06-01' },
      },
      gemini: {
        base_url: `${origin}/v1beta`,
        local: true,
        formats: ['gemini'],
        auth: { header: 'x-goog-api-key' },
      },
      bedrock: {
        base_url: origin,
        local: true,
        formats: ['bedrock-converse', 'bedrock-invoke'],
        variables: { region: 'us-east-1' },
        auth: { type: 'sigv4', service: 'bedrock' },
      },
      vertex: {
        base_url: `${origin}/v1/projects/p/locations/l`,
        local: true,
        formats: ['vertex-anthropic'],
      },
    },
    models: {
      ...Object.fromEntries(Object.keys(mock.scripts).map((name) => [name, offers(name)])),
      [FORBIDDEN_MODEL]: offers(FORBIDDEN_MODEL),
      ...models,
    },
    provider_keys: Object.fromEntries(
      Object.entries(PROVIDER_KEY).map(([name, value]) => [name, { host: name, value }]),
    ),
    pools: { all: { members: Object.keys(PROVIDER_KEY).map((key) => ({ key })) } },
    policies: { default: { pools: ['all'], deny: [FORBIDDEN_MODEL] } },
    relay_keys: { test: { policy: 'default', key: RELAY_KEY } },
  };
}

// The built-in model alone: no provider, no provider key.
export const echoConfig = {
  hosts: { relay: { echo: true } },
  models: { 'relay/echo': { offers: [{ host: 'relay' }] } },
  policies: { default: {} },
  relay_keys: { test: { policy: 'default', key: RELAY_KEY } },
};

// The catalog knows everything but where it is; and who gives tokens for Vertex AI is
// far away.
function hostPatch(name, { base_url, local, variables }) {
  if (name !== 'vertex') return { base_url, local, ...(variables && { variables }) };
  const [origin] = base_url.split('/projects');
  const auth = { type: 'header', header: 'authorization', prefix: 'Bearer ' };
  return { base_url: origin, local, variables: { project: 'p', location: 'l' }, auth };
}

// The same for the admin API of a box: hosts are the catalog's with another
// address, the built-in model is there already, and of all the other models of
// the catalog none may be used.
function boxDocument({ hosts, models, policies, relay_keys, ...rest }) {
  const served = Object.entries(hosts).filter(([, host]) => !host.echo);
  const own = Object.entries(models).filter(([, { offers }]) => offers.some(({ host }) => !hosts[host].echo));
  return {
    ...rest,
    host_patches: Object.fromEntries(served.map(([name, host]) => [name, hostPatch(name, host)])),
    models: Object.fromEntries(own),
    policies: { default: { ...policies.default, allow: Object.keys(models) } },
    relay_keys: { test: { policy: relay_keys.test.policy } },
  };
}

function nginxConf(directory, port) {
  const module = process.env.RELAY_MODULE || path.join(project, 'build/ngx_relay_module.so');
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `    ${name}_temp_path ${directory}/temp/${name};`,
  );
  return `${module === 'static' ? '' : `load_module ${module};`}
${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
worker_shutdown_timeout 5s;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log info;
events { worker_connections 512; }
http {
${temp.join('\n')}
    access_log ${directory}/access.log;
    relay_config ${directory}/relay.json;
    server {
        listen 127.0.0.1:${port};
        location / { relay_pass; }
    }
}
`;
}

// ---- the two ways to start ----------------------------------------------------

const FAULT = /\[(alert|emerg|crit)\]|"level":"error"|exited on signal|Sanitizer|runtime error:/;

class Stack {
  async start(scripts, { config, host, models }) {
    this.mock = await new Mock(scripts).start();
    try {
      await this.open(config ?? relayConfig(this.mock, host, models));
    } catch (error) {
      await this.mock.stop();
      throw error;
    }
    return this;
  }

  // Then what must be true of every run. Once in a process: it ends the
  // connections that fetch has opened ahead of need, for which a leaving nginx
  // would wait.
  async stop() {
    await globalThis[Symbol.for('undici.globalDispatcher.1')]?.destroy();
    const logs = await this.close().finally(() => this.mock.stop());
    const faults = logs.split('\n').filter((line) => FAULT.test(line));
    assert.deepEqual(faults, [], 'no faults in the logs');
    for (const secret of [RELAY_KEY, WRONG_RELAY_KEY, ...Object.values(PROVIDER_KEY).map((key) => key.split(':').at(-1))]) {
      assert.ok(!logs.includes(secret), 'no secret in the logs');
    }
  }

  // ---- what the provider saw ----

  // The requests of this test are exactly these, each checked: dialect, path,
  // model, and (unless undefined) the whole body but for the model.
  saw(...expected) {
    const { requests, faults } = this.mock;
    assert.deepEqual(faults, [], 'the mock had a script for every request');
    assert.deepEqual(
      requests.map((request) => `${request.method} ${request.path}`),
      expected.map((one) => `POST ${one.path}`),
      'what reached the provider',
    );
    expected.forEach((one, i) => checkForwarded(requests[i], one));
    return requests.length === 1 ? requests[0] : requests;
  }

  sawNothing() {
    assert.deepEqual(this.mock.faults, []);
    assert.equal(this.mock.requests.length, 0, 'nothing reached the provider');
  }
}

class ModuleStack extends Stack {
  async open(config) {
    this.directory = makeDirectory('relay-sdk-');
    fs.mkdirSync(path.join(this.directory, 'temp'));
    this.port = await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    fs.writeFileSync(path.join(this.directory, 'relay.json'), JSON.stringify(config, null, 2));
    fs.writeFileSync(path.join(this.directory, 'nginx.conf'), nginxConf(this.directory, this.port));
    this.launch();
    running.add(this);
    try {
      await waitFor('nginx listens', 10000, async () => this.exit || (await answers(this.port)));
      if (this.exit) throw new Error('nginx did not start');
    } catch (error) {
      error.message += `\n${this.logs()}`;
      this.kill();
      throw error;
    }
  }

  launch() {
    const file = (name) => path.join(this.directory, name);
    const log = fs.openSync(file('stderr'), 'a');
    const asan = ['detect_odr_violation=0', 'detect_leaks=0', `log_path=${file('sanitizer')}`];
    this.nginx = spawn(
      process.env.RELAY_NGINX || '/usr/sbin/nginx',
      ['-p', `${this.directory}/`, '-e', file('error.log'), '-c', file('nginx.conf')],
      {
        stdio: ['ignore', log, log],
        env: {
          ...process.env,
          ASAN_OPTIONS: [process.env.ASAN_OPTIONS, ...asan].filter(Boolean).join(':'),
        },
      },
    );
    fs.closeSync(log);
    this.gone = new Promise((resolve) => {
      this.nginx.once('error', (error) => resolve((this.exit = { error })));
      this.nginx.once('exit', (code, signal) => resolve((this.exit = { code, signal })));
    });
  }

  kill() {
    running.delete(this);
    if (!this.exit) this.nginx.kill('SIGTERM');
  }

  logs() {
    return fs
      .readdirSync(this.directory)
      .filter((name) => /^(stderr|.*\.log|sanitizer.*)$/.test(name))
      .map((name) => slurp(path.join(this.directory, name)))
      .join('');
  }

  // Graceful.
  async close() {
    this.nginx.kill('SIGQUIT');
    const left = await Promise.race([this.gone, sleep(8000, undefined, { ref: false })]);
    this.kill();
    assert.deepEqual(left, { code: 0, signal: null }, 'nginx leaves in time and with status 0');
    const logs = this.logs();
    removeDirectory(this.directory);
    return logs;
  }
}

class BoxStack extends Stack {
  async open(config) {
    this.url = box.url;
    this.sizes = box.logSizes();
    await box.configure(boxDocument(config));
  }

  // One that with_box.mjs has started stays.
  async close() {
    const logs = box.logsSince(this.sizes);
    if (box.launcher) await box.stop();
    return logs;
  }
}

// What the provider key makes of these headers, by dialect: all that it may be in.
const CREDENTIALS = {
  openai: ({ authorization }) => assert.equal(authorization, `Bearer ${PROVIDER_KEY.openai}`),
  anthropic: (headers) => assert.equal(headers['x-api-key'], PROVIDER_KEY.anthropic),
  gemini: (headers) => assert.equal(headers['x-goog-api-key'], PROVIDER_KEY.gemini),
  vertex: ({ authorization }) => assert.equal(authorization, `Bearer ${PROVIDER_KEY.vertex}`),
  bedrock({ authorization }) {
    const [id, secret] = PROVIDER_KEY.bedrock.split(':');
    const scope = String.raw`\d{8}/us-east-1/bedrock/aws4_request`;
    const form = `^AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}$`;
    assert.match(authorization, new RegExp(form));
    assert.ok(!authorization.includes(secret), 'signed with it, not told');
  },
};
const CREDENTIAL_HEADER = { anthropic: 'x-api-key', gemini: 'x-goog-api-key' };

function checkCredential({ headers }, dialect) {
  CREDENTIALS[dialect](headers);
  const own = CREDENTIAL_HEADER[dialect] ?? 'authorization';
  for (const name of ['authorization', 'x-api-key', 'x-goog-api-key']) {
    if (name !== own) assert.equal(headers[name], undefined, 'the provider key, in no other header');
  }
}

function checkForwarded(request, { dialect, model, body }) {
  checkCredential(request, dialect);
  const everything = [request.path, ...request.rawHeaders, request.text].join('\n');
  assert.ok(!everything.includes(RELAY_KEY), 'the relay key goes no further');
  assert.equal(request.headers['x-relay-key'], undefined, 'nor does its header');
  assert.equal(request.headers['content-length'], String(Buffer.byteLength(request.text)));
  assert.equal(request.model, UPSTREAM_PREFIX + model, "the model's name at the provider");
  const named = request.body.model === undefined ? {} : { model };
  if (body) assert.deepEqual({ ...request.body, ...named }, body, 'the rest of the body is as written');
}

// The mock's connection of this request is closed soon after the moment given.
export async function closedSoonAfter(request, moment_ms, limit_ms = 100) {
  await waitFor('the connection to the provider is closed', 3000, () => request.closedAt);
  const after_ms = request.closedAt - moment_ms;
  assert.ok(after_ms <= limit_ms, `closed ${after_ms.toFixed(1)} ms after the caller left`);
}

// options: the host that offers the scripts, more models; or the whole config.
export async function startStack(scripts, options) {
  return (box ? new BoxStack() : new ModuleStack()).start(scripts, options);
}

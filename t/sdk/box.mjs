// The whole product on one machine, as docker/launcher/box runs it: Postgres,
// Redis, relayd, and nginx with the module, on free ports, in a directory of its
// own. Set up and configured through the admin API. Used by stack.mjs with
// RELAY_STACK=box, and by with_box.mjs, which starts one for several files.
//
// RELAY_RELAYD chooses another relayd; RELAY_NGINX, RELAY_MODULE and RELAY_KEEP
// are as in stack.mjs.

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { answers, freePort, makeDirectory, project, removeDirectory, running, slurp, waitFor } from './processes.mjs';

const launcher = path.join(project, 'docker/launcher/box');
const KEEP_VARIABLES = /^(PATH|HOME|TZ|LANG|TMPDIR|XDG_RUNTIME_DIR|RELAY_(NGINX|MODULE|RELAYD)|[A-Z]+SAN_OPTIONS)$/;

// What a box is known by; its keys are in it.
export const SHARED_BOX = 'RELAY_BOX';

export class Box {
  constructor({ home, port, admin_port, token, relay_key }) {
    Object.assign(this, { home, port, admin_port, token, relay_key });
    this.url = `http://127.0.0.1:${port}`;
  }

  // The variables of whoever runs the tests, provider keys above all, must not
  // decide them.
  get environment() {
    const kept = Object.entries(process.env).filter(([name]) => KEEP_VARIABLES.test(name));
    return {
      ...Object.fromEntries(kept),
      RELAY_HOME: this.home,
      RELAY_PORT: String(this.port),
      RELAY_ADMIN_PORT: String(this.admin_port),
      RELAY_STOP_AFTER_S: '8',
      RELAY_RESET: 'yes',
    };
  }

  // ---- the admin API ----

  async call(method, route, body) {
    const response = await fetch(`http://127.0.0.1:${this.admin_port}/api/v1/${route}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(this.token && { authorization: `Bearer ${this.token}` }),
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${route}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  // The configuration is this document and nothing else, once this returns.
  configure(document) {
    return this.call('POST', 'workspaces/default/configuration:apply?prune=true&wait=applied', document);
  }

  async setUp() {
    const setup_token = slurp(path.join(this.home, 'setup_token')).trim();
    this.token = (await this.call('POST', 'setup', { setup_token })).token;
    const { minted } = await this.configure({
      policies: { default: {} },
      relay_keys: { test: { policy: 'default' } },
    });
    this.relay_key = minted.test;
  }

  // ---- start and stop ----

  // In the foreground of the launcher: it leaves with this process, whatever ends it.
  launch() {
    const said = fs.openSync(path.join(this.directory, 'said'), 'a');
    this.launcher = spawn(launcher, ['start'], { stdio: ['ignore', said, said], env: this.environment });
    fs.closeSync(said);
    this.gone = new Promise((resolve) => {
      this.launcher.once('error', (error) => resolve((this.exit = { error })));
      this.launcher.once('exit', (code, signal) => resolve((this.exit = { code, signal })));
    });
    running.add(this);
  }

  async start() {
    try {
      this.launch();
      await waitFor('the box is ready', 60000, () => this.exit || fs.existsSync(path.join(this.home, 'ready')));
      if (this.exit) throw new Error('the box did not start');
      await this.setUp();
    } catch (error) {
      error.message += `\n${slurp(path.join(this.directory, 'said'))}`;
      this.kill();
      throw error;
    }
    return this;
  }

  // When this process leaves early, or the box did not when asked.
  kill() {
    running.delete(this);
    const commands = process.env.RELAY_KEEP ? ['stop'] : ['stop', 'reset'];
    for (const command of fs.existsSync(path.join(this.home, 'lock')) ? commands : []) {
      try {
        execFileSync(launcher, [command], { env: this.environment, stdio: 'ignore' });
      } catch {
        console.error(`box ${command} failed: ${this.home}`);
      }
    }
    removeDirectory(this.directory);
  }

  // Nothing of it is left afterwards: no process, no port, no file.
  async stop() {
    this.launcher.kill('SIGTERM');
    const left = await Promise.race([this.gone, sleep(30000, undefined, { ref: false })]);
    const status = await this.run('status');
    const open = [await answers(this.port), await answers(this.admin_port)];
    const reset = await this.run(process.env.RELAY_KEEP ? 'status' : 'reset');
    const files = fs.existsSync(this.home);
    const said = slurp(path.join(this.directory, 'said'));
    this.kill();
    assert.deepEqual(left, { code: 0, signal: null }, `the box leaves in time and with status 0\n${said}`);
    assert.equal(status.code, 3, `it is down: ${status.stdout}`);
    assert.deepEqual(open, [false, false], 'its ports are free');
    if (process.env.RELAY_KEEP) return;
    assert.equal(reset.code, 0, `its files can be deleted: ${reset.stderr}`);
    assert.ok(!files, 'it leaves no files');
  }

  async run(command) {
    try {
      return { code: 0, ...(await promisify(execFile)(launcher, [command], { env: this.environment })) };
    } catch (error) {
      return error;
    }
  }

  // ---- logs ----

  // How long each log is: what is written from now on is logsSince(that).
  logSizes() {
    const logs = path.join(this.home, 'logs');
    return Object.fromEntries(fs.readdirSync(logs).map((name) => [name, fs.statSync(path.join(logs, name)).size]));
  }

  logsSince(sizes) {
    return Object.keys(this.logSizes())
      .map((name) => fs.readFileSync(path.join(this.home, 'logs', name)).subarray(sizes[name] ?? 0).toString('utf8'))
      .join('');
  }
}

export async function startBox() {
  const box = new Box({ port: await freePort(), admin_port: await freePort() });
  box.directory = makeDirectory('relay-sdk-box-');
  box.home = path.join(box.directory, 'home');
  return box.start();
}

// The one of with_box.mjs, or one of this process's own.
export async function findBox() {
  const file = process.env[SHARED_BOX];
  return file ? new Box(JSON.parse(fs.readFileSync(file, 'utf8'))) : startBox();
}

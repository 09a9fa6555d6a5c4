// A provider that answers by script. A script is chosen by the model in the
// request; what it gets is the recorded request and a reply to write. Every
// request is kept: path, headers, body, and when its connection closed. Used by
// stack.mjs, which gives it the scripts of openai_answers.mjs and
// anthropic_answers.mjs.

import http from 'node:http';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

export const UPSTREAM_PREFIX = 'up-';

async function read(incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

// In the body, or in the path of the formats that have it there.
function modelOf({ url }, body) {
  const [, model] = /\/models?\/([^/:?]+)/.exec(url) ?? [];
  return String(body?.model ?? (model === undefined ? '' : decodeURIComponent(model)));
}

function record(incoming, text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  return {
    method: incoming.method,
    path: incoming.url,
    headers: incoming.headers,
    rawHeaders: incoming.rawHeaders,
    text,
    body,
    model: modelOf(incoming, body),
    socket: incoming.socket,
    closedAt: incoming.socket.closedAt, // performance.now(), once the connection is gone
  };
}

// What a script writes with. Nothing of it fails once the caller has left.
class Reply {
  constructor(response) {
    this.response = response;
  }

  json(status, value, headers = {}) {
    this.response.writeHead(status, { 'content-type': 'application/json', ...headers });
    this.response.end(JSON.stringify(value));
  }

  beginEvents(headers = {}, type = 'text/event-stream; charset=utf-8') {
    this.response.writeHead(200, { 'content-type': type, ...headers });
  }

  event(value, name) {
    const data = typeof value === 'string' ? value : JSON.stringify(value);
    return this.write(`${name ? `event: ${name}\n` : ''}data: ${data}\n\n`);
  }

  // False once the connection is gone. The pause makes each event a packet.
  async write(bytes) {
    if (this.response.destroyed) return false;
    this.response.write(bytes);
    await sleep(2);
    return !this.response.destroyed;
  }

  end() {
    this.response.end();
  }

  // The connection breaks where it is.
  cut() {
    this.response.socket?.destroy();
  }
}

export class Mock {
  constructor(scripts) {
    this.scripts = scripts;
    this.requests = [];
    this.faults = [];
    this.server = http.createServer((incoming, response) => {
      this.answer(incoming, response).catch((error) => this.faults.push(error));
    });
    this.server.on('connection', (socket) => socket.once('close', () => this.closed(socket)));
  }

  closed(socket) {
    socket.closedAt = performance.now();
    for (const request of this.requests) {
      if (request.socket === socket) request.closedAt = socket.closedAt;
    }
  }

  async start() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    return this;
  }

  async answer(incoming, response) {
    response.on('error', () => {});
    const request = record(incoming, await read(incoming));
    const { model } = request;
    // How many requests this model has had, this one included.
    request.turn = 1 + this.requests.filter((earlier) => earlier.model === model).length;
    this.requests.push(request);
    const script = model.startsWith(UPSTREAM_PREFIX) && this.scripts[model.slice(UPSTREAM_PREFIX.length)];
    const reply = new Reply(response);
    if (!script) {
      this.faults.push(new Error(`no script for model "${model}" (${request.method} ${request.path})`));
      reply.json(418, { error: { message: `no script for ${model}`, type: 'mock', param: null, code: null } });
      return;
    }
    await script(request, reply);
  }

  clear() {
    this.requests.length = 0;
    this.faults.length = 0;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

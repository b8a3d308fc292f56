// graphql-transport-ws as its PROTOCOL.md has it, by hand and with the client of npm `graphql-ws`:
// node sockets.mjs WEBSOCKET_URL
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { must, score, sleep } from './score.mjs';

const [url] = process.argv.slice(2);
const QUIET_MS = 400;

// A socket whose frames are awaited one by one; `{ closed: code }` at its end.
class Socket {
  #waiting = [];
  #frames = [];
  constructor(protocol = 'graphql-transport-ws') {
    this.socket = new WebSocket(url, [protocol]);
    this.opened = new Promise((resolve) => {
      this.socket.on('open', () => resolve({ protocol: this.socket.protocol }));
      this.socket.on('unexpected-response', (_, { statusCode }) => resolve({ status: statusCode }));
      this.socket.on('error', (error) => resolve({ error: String(error) }));
    });
    this.socket.on('message', (data) => this.#take(JSON.parse(data.toString())));
    this.socket.on('close', (closed) => this.#take({ closed }));
  }
  #take(frame) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(frame);
    else this.#frames.push(frame);
  }
  say(message) {
    this.socket.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }
  ask(id, query, variables) {
    this.say({ id, type: 'subscribe', payload: { query, variables } });
  }
  async next(ms = 5000) {
    if (this.#frames.length > 0) return this.#frames.shift();
    return new Promise((resolve) => {
      const waiting = (frame) => { clearTimeout(timer); resolve(frame); };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        resolve({ silent: true });
      }, ms);
      this.#waiting.push(waiting);
    });
  }
  async expect(frame) {
    const got = await this.next();
    must(sorted(got) === sorted(frame), `got ${JSON.stringify(got)}, not ${JSON.stringify(frame)}`);
  }
  async closes(code, ms = 5000) {
    for (;;) {
      const got = await this.next(ms);
      must(!got.silent, `not closed, ${code} is due`);
      if (got.closed !== undefined) return must(got.closed === code, `closed ${got.closed}, not ${code}`);
    }
  }
}

const sorted = (value) => JSON.stringify(value, (_, part) => (
  part && typeof part === 'object' && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort()) : part));

async function opened() {
  const socket = new Socket();
  await socket.opened;
  return socket;
}

async function greeted() {
  const socket = await opened();
  socket.say({ type: 'connection_init' });
  await socket.expect({ type: 'connection_ack' });
  return socket;
}

// Opens a socket, runs the check and closes the socket again.
const on = (open, check) => async () => {
  const socket = await open();
  try {
    await check(socket);
  } finally {
    socket.socket.terminate();
  }
};
const closing = (open, code, ...messages) => on(open, async (socket) => {
  for (const message of messages) socket.say(message);
  await socket.closes(code);
});

async function withClient(check) {
  const client = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0 });
  try {
    await check(async (query) => {
      const results = [];
      for await (const result of client.iterate({ query })) results.push(result);
      return results;
    });
  } finally {
    await client.dispose();
  }
}

const init = { type: 'connection_init' };
const counter = (id, arguments_) => ({ id, type: 'subscribe', payload: { query: `subscription { counter(${arguments_}) }` } });

await score('graphql-transport-ws', [
  ['the sub-protocol is chosen', on(opened, async (socket) => must((await socket.opened).protocol === 'graphql-transport-ws', 'another'))],
  ['an unknown sub-protocol is refused', async () => {
    const { status } = await new Socket('nonsense').opened;
    must(status >= 400 && status < 500, `status ${status}`);
  }],
  ['the legacy sub-protocol is not spoken', async () => must((await new Socket('graphql-ws').opened).protocol !== 'graphql-ws', 'it is')],
  ['init is acknowledged', on(greeted, async () => {})],
  ['init with a payload of null is acknowledged', on(opened, async (socket) => {
    socket.say({ type: 'connection_init', payload: null });
    await socket.expect({ type: 'connection_ack' });
  })],
  ['4408 without init', closing(opened, 4408)],
  ['4429 on a second init', closing(greeted, 4429, init)],
  ['4401 on subscribe before the acknowledgement', closing(opened, 4401, counter('1', 'to: 1'))],
  ['4403 for a token that is refused', closing(opened, 4403, { type: 'connection_init', payload: { token: 'bad' } })],
  ['4400 on text that is no JSON', closing(greeted, 4400, 'not json')],
  ['4400 on an unknown type', closing(greeted, 4400, { type: 'wat' })],
  ['4400 on subscribe without an id', closing(greeted, 4400, { type: 'subscribe', payload: { query: '{ hello }' } })],
  ['4400 on a query that is no text', closing(greeted, 4400, { id: '1', type: 'subscribe', payload: { query: 7 } })],
  ['4400 on a ping whose payload is no object', closing(greeted, 4400, { type: 'ping', payload: 'x' })],
  ['4400 on a binary frame', closing(greeted, 4400, Buffer.from('{"type":"ping"}'))],
  ['4409 on an id that is taken', closing(greeted, 4409, counter('1', 'to: 50, everyMs: 100'), counter('1', 'to: 50, everyMs: 100'))],
  ['an id is free again after completion', on(greeted, async (socket) => {
    for (let round = 0; round < 2; round += 1) {
      socket.ask('1', '{ hello }');
      await socket.expect({ id: '1', type: 'next', payload: { data: { hello: 'world' } } });
      await socket.expect({ id: '1', type: 'complete' });
    }
  })],
  ['ping is answered with its payload', on(greeted, async (socket) => {
    socket.say({ type: 'ping', payload: { a: 1 } });
    await socket.expect({ type: 'pong', payload: { a: 1 } });
  })],
  ['ping is answered before init', on(opened, async (socket) => {
    socket.say({ type: 'ping' });
    await socket.expect({ type: 'pong' });
  })],
  ['pong is ignored', on(greeted, async (socket) => {
    socket.say({ type: 'pong' });
    socket.say({ type: 'ping' });
    await socket.expect({ type: 'pong' });
  })],
  ['a query is next and complete', on(greeted, async (socket) => {
    socket.ask('q', '{ hello }');
    await socket.expect({ id: 'q', type: 'next', payload: { data: { hello: 'world' } } });
    await socket.expect({ id: 'q', type: 'complete' });
  })],
  ['a subscription is every next and complete', on(greeted, async (socket) => {
    socket.ask('s', 'subscription ($n: Int!) { counter(to: $n) }', { n: 3 });
    for (const n of [1, 2, 3]) await socket.expect({ id: 's', type: 'next', payload: { data: { counter: n } } });
    await socket.expect({ id: 's', type: 'complete' });
  })],
  ...[['{ nope }', 'what does not fit'], ['{', 'what is no GraphQL']].map(([query, what]) => [
    `${what} is an error without complete`, on(greeted, async (socket) => {
      socket.ask('1', query);
      const { type, payload } = await socket.next();
      must(type === 'error' && Array.isArray(payload), { type, payload });
      must((await socket.next(QUIET_MS)).silent, 'more came');
    })]),
  ['a stream that is refused is an error with its code', on(greeted, async (socket) => {
    socket.ask('1', 'subscription { denied }');
    const { type, payload } = await socket.next();
    must(type === 'error' && payload[0].extensions.code === 'FORBIDDEN', { type, payload });
  })],
  ['complete stops a stream, the socket lives', on(greeted, async (socket) => {
    socket.say(counter('1', 'to: 1000, everyMs: 20'));
    await socket.next();
    socket.say({ id: '1', type: 'complete' });
    while (!(await socket.next(QUIET_MS)).silent);
    socket.say({ type: 'ping' });
    await socket.expect({ type: 'pong' });
  })],
  ['nothing comes for an id after its complete', on(greeted, async (socket) => {
    socket.say(counter('1', 'to: 100, everyMs: 200'));
    await socket.next();
    socket.say({ id: '1', type: 'complete' });
    const got = await socket.next(2 * QUIET_MS);
    must(got.silent, got);
  })],
  ['complete for an unknown id is ignored', on(greeted, async (socket) => {
    socket.say({ id: 'nobody', type: 'complete' });
    socket.say({ type: 'ping' });
    await socket.expect({ type: 'pong' });
  })],
  ['two operations side by side', on(greeted, async (socket) => {
    for (const id of ['a', 'b']) socket.say(counter(id, 'to: 3, everyMs: 30'));
    const seen = { a: 0, b: 0 };
    for (let done = 0; done < 2;) {
      const { id, type } = await socket.next();
      if (type === 'complete') done += 1;
      else if (type === 'next') seen[id] += 1;
      else throw new Error(String(type));
    }
    must(seen.a === 3 && seen.b === 3, seen);
  })],
  ['a firehose starves no other operation', on(greeted, async (socket) => {
    socket.ask('f', 'subscription { firehose }');
    await socket.next();
    socket.say(counter('t', 'to: 20, everyMs: 10'));
    for (let ticks = 0; ;) {
      const { id, type } = await socket.next();
      if (id === 't' && type === 'next') ticks += 1;
      if (id === 't' && type === 'complete') return must(ticks === 20, `${ticks} ticks`);
      must(type === 'next', String(type));
    }
  })],
  ['a firehose does not delay pong', on(greeted, async (socket) => {
    socket.ask('f', 'subscription { firehose }');
    await socket.next();
    socket.say({ type: 'ping' });
    while ((await socket.next()).type !== 'pong');
  })],
  ['graphql-ws client: subscription', () => withClient(async (all) => {
    const seen = (await all('subscription { counter(to: 4) }')).map(({ data }) => data.counter);
    must(seen.join() === '1,2,3,4', seen);
  })],
  ['graphql-ws client: query and mutation', () => withClient(async (all) => {
    for (const query of ['{ hello }', 'mutation { increment }']) {
      const results = await all(query);
      must(results.length === 1 && !results[0].errors, results);
    }
  })],
  ['graphql-ws client: what does not fit is thrown', () => withClient(async (all) => {
    const thrown = await all('{ nope }').then(() => false, () => true);
    must(thrown, 'it came as a result');
  })],
  ['graphql-ws client: fifty subscriptions on one socket', () => withClient(async (all) => {
    const query = 'subscription { counter(to: 10, everyMs: 5) }';
    const counts = await Promise.all(Array.from({ length: 50 }, async () => (await all(query)).length));
    must(counts.every((count) => count === 10), counts);
    await sleep(0);
  })],
]);

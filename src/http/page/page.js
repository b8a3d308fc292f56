// Runs an operation: queries and mutations by POST, subscriptions over a socket.
'use strict';

const by = (id) => document.getElementById(id);
const SHOWN_MAX = 50;
let stop = null;

by('query').value = sessionStorage.getItem('query') ?? '{ vehicles(first: 5) { nodes { id name } } }';
by('token').value = sessionStorage.getItem('token') ?? '';

function operation() {
  const variables = by('variables').value.trim();
  return { query: by('query').value, variables: variables ? JSON.parse(variables) : {} };
}

// Whether the only operation, or the first one, is a subscription; strings and comments left out.
function isSubscription(query) {
  const bare = query.replace(/"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*/g, '');
  return /^\s*(?:fragment\b[^{]*\{[\s\S]*\}\s*)?subscription\b/.test(bare);
}

const show = (value) => { by('result').textContent = JSON.stringify(value, null, 2); };
const say = (text) => { by('status').textContent = text; };

async function ask(body, token) {
  const begun = performance.now();
  const headers = { 'content-type': 'application/json', accept: 'application/graphql-response+json' };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch('/graphql', { method: 'POST', headers, body: JSON.stringify(body) });
  show(await answer.json());
  say(`${answer.status} in ${Math.round(performance.now() - begun)} ms`);
}

function follow(body, token) {
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/graphql`;
  const socket = new WebSocket(url, 'graphql-transport-ws');
  const seen = [];
  let count = 0;
  const send = (message) => socket.send(JSON.stringify(message));
  socket.onopen = () => send({ type: 'connection_init', payload: token ? { token } : undefined });
  socket.onmessage = ({ data }) => {
    const { type, payload } = JSON.parse(data);
    if (type === 'connection_ack') { say('open'); send({ id: '1', type: 'subscribe', payload: body }); }
    if (type === 'ping') send({ type: 'pong' });
    if (type === 'next') { seen.unshift(payload); seen.length = Math.min(seen.length, SHOWN_MAX); show(seen); say(`${++count} received`); }
    if (type === 'error') { show(payload); socket.close(1000); }
    if (type === 'complete') socket.close(1000);
  };
  socket.onclose = ({ code, reason }) => { say(`closed ${code} ${reason}`); ended(); };
  stop = () => socket.close(1000);
  by('stop').disabled = false;
}

function ended() {
  stop = null;
  by('stop').disabled = true;
}

async function run() {
  stop?.();
  const token = by('token').value.trim();
  sessionStorage.setItem('query', by('query').value);
  sessionStorage.setItem('token', token);
  say('…');
  try {
    const body = operation();
    if (isSubscription(body.query)) follow(body, token);
    else await ask(body, token);
  } catch (error) {
    say(String(error.message ?? error));
  }
}

let blocks = [];
function filter() {
  const wanted = by('filter').value.trim().toLowerCase();
  const found = wanted ? blocks.filter((block) => block.toLowerCase().includes(wanted)) : blocks;
  by('schema').textContent = found.join('\n\n');
}

by('run').onclick = run;
by('stop').onclick = () => stop?.();
by('filter').oninput = filter;
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
});
fetch('/schema.graphql').then((answer) => answer.text()).then((text) => { blocks = text.split(/\n\n+/); filter(); });

// The audits of GraphQL over HTTP that come with npm `graphql-http`: node http.mjs URL [TOKEN]
import { serverAudits } from 'graphql-http';
import { score } from './score.mjs';

const [url, token] = process.argv.slice(2);
const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  return fetch(input, { ...init, headers });
};
const checks = serverAudits({ url, fetchFn }).map(({ id, name, fn }) => [
  `${id} ${name}`,
  async () => {
    const { status, reason } = await fn();
    if (status !== 'ok') throw new Error(`${status}: ${reason}`);
  },
]);
await score(`graphql-http audits of ${token ? 'the product' : 'the test schema'}`, checks);

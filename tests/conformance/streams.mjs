// The client of npm `graphql-sse`, distinct connections: node streams.mjs URL
import { createClient } from 'graphql-sse';
import { must, score } from './score.mjs';

const [url] = process.argv.slice(2);

async function all(query, variables) {
  const client = createClient({ url, retryAttempts: 0 });
  const results = [];
  for await (const result of client.iterate({ query, variables })) results.push(result);
  client.dispose();
  return results;
}

await score('graphql-sse client', [
  ['a subscription streams and completes', async () => {
    const counted = await all('subscription { counter(to: 3) }');
    must(counted.map(({ data }) => data.counter).join() === '1,2,3', counted);
  }],
  ['a query is one result', async () => {
    const asked = await all('{ hello }');
    must(asked.length === 1 && asked[0].data.hello === 'world', asked);
  }],
  ['a mutation is one result', async () => {
    const done = await all('mutation { increment }');
    must(done.length === 1 && Number.isInteger(done[0].data.increment), done);
  }],
  ['what does not fit the schema is a result with errors', async () => {
    const refused = await all('{ nope }');
    must(refused.length === 1 && refused[0].errors.length > 0, refused);
  }],
  ['variables', async () => {
    const counted = await all('subscription ($n: Int!) { counter(to: $n) }', { n: 2 });
    must(counted.length === 2, counted);
  }],
]);

// Apollo Client and urql: node clients.mjs URL WEBSOCKET_URL
import { createHash } from 'node:crypto';
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client/core/index.js';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client, fetchExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { must, score } from './score.mjs';

const [uri, socketUrl] = process.argv.slice(2);
const apollo = (link = new HttpLink({ uri })) => new ApolloClient({ link, cache: new InMemoryCache() });
const urql = (options) => new Client({ url: uri, exchanges: [fetchExchange], preferGetMethod: false, ...options });

function counted(observable) {
  return new Promise((resolve, reject) => {
    const seen = [];
    observable.subscribe({ next: ({ data }) => seen.push(data.counter), error: reject, complete: () => resolve(seen.join()) });
  });
}

await score('Apollo Client and urql', [
  ['Apollo: query', async () => {
    const { data } = await apollo().query({ query: gql`{ hello }` });
    must(data.hello === 'world', data);
  }],
  ['Apollo: connection with a name and variables', async () => {
    const query = gql`query Page($n: Int) { vehicles(first: $n) { edges { cursor node { id } } pageInfo { endCursor hasNextPage } } }`;
    const { data } = await apollo().query({ query, variables: { n: 3 } });
    must(data.vehicles.edges.length === 3, data);
  }],
  ['Apollo: persisted query by GET, unknown first, then known', async () => {
    const sha256 = async (text) => createHash('sha256').update(text).digest('hex');
    const link = new PersistedQueryLink({ sha256, useGETForHashedQueries: true }).concat(new HttpLink({ uri }));
    for (let round = 0; round < 2; round += 1) {
      const { data } = await apollo(link).query({ query: gql`query Persisted { hello count }`, fetchPolicy: 'no-cache' });
      must(data.hello === 'world', data);
    }
  }],
  ['Apollo: query by GET', async () => {
    const { data } = await apollo(new HttpLink({ uri, useGETForQueries: true })).query({ query: gql`query ByGet { hello }` });
    must(data.hello === 'world', data);
  }],
  ['Apollo: an error carries its code', async () => {
    const error = await apollo().query({ query: gql`{ fail }` }).then(() => null, (error) => error);
    must(error?.errors?.[0]?.extensions?.code === 'CONFLICT', String(error));
  }],
  ['Apollo: subscription over graphql-ws', async () => {
    const client = createClient({ url: socketUrl, webSocketImpl: WebSocket });
    const seen = await counted(apollo(new GraphQLWsLink(client)).subscribe({ query: gql`subscription { counter(to: 3) }` }));
    await client.dispose();
    must(seen === '1,2,3', seen);
  }],
  ['urql: query', async () => {
    const { data, error } = await urql().query('{ hello }', {}).toPromise();
    must(data?.hello === 'world', String(error));
  }],
  ['urql: subscription as an event stream', async () => {
    const seen = await new Promise((resolve, reject) => {
      const seen = [];
      urql({ fetchSubscriptions: true }).subscription('subscription { counter(to: 3) }', {}).subscribe(({ data, error }) => {
        if (error) reject(error);
        if (data && seen.push(data.counter) === 3) resolve(seen.join());
      });
    });
    must(seen === '1,2,3', seen);
  }],
]);

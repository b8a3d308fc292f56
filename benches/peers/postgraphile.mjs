// The table peer.vehicles behind PostGraphile: node postgraphile.mjs DATABASE_URL
// Says where it listens.
import { createServer } from 'node:http';
import { grafserv } from 'postgraphile/grafserv/node';
import { postgraphile } from 'postgraphile';
import { makePgService } from 'postgraphile/adaptors/pg';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';

const instance = postgraphile({
    extends: [PostGraphileAmberPreset],
    pgServices: [makePgService({ connectionString: process.argv[2], schemas: ['peer'] })],
    grafserv: { graphqlPath: '/graphql', watch: false, graphiql: false },
});

const server = createServer();
await instance.createServ(grafserv).addTo(server);
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));

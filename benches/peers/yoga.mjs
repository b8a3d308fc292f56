// A static list behind graphql-yoga, as its manual shows a server: node yoga.mjs ANSWER_FILE
// The file holds an answer to the list; says where it listens.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createSchema, createYoga } from 'graphql-yoga';

const { vehicles } = JSON.parse(readFileSync(process.argv[2], 'utf8')).data;

const schema = createSchema({
    typeDefs: `
        type Query { vehicles(first: Int!): Vehicles! }
        type Vehicles { nodes: [Vehicle!]! asOfPosition: String! }
        type Vehicle {
            id: ID! externalId: String vin: String plate: String
            name: String kind: String registeredAt: String! version: Int!
        }`,
    resolvers: {
        Query: {
            vehicles: (_, { first }) => ({ ...vehicles, nodes: vehicles.nodes.slice(0, first) }),
        },
    },
});

const server = createServer(createYoga({ schema, logging: false }));
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));

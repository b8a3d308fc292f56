// Renames fleets with Emmett over PostgreSQL: node emmett.mjs DATABASE_URL FLEETS EVENTS
// Says `ready` once each fleet has its events; then each line `CALLERS MILLISECONDS` is a round.
import { createInterface } from 'node:readline';
import { CommandHandler } from '@event-driven-io/emmett';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';

const [database, ...sizes] = process.argv.slice(2);
const [fleets, events] = sizes.map(Number);
const SEEDERS = 8;

const initialState = () => ({ created: false, archived: false, name: '' });

const evolve = (fleet, { type, data }) => {
    switch (type) {
        case 'fleet.created':
            return { ...fleet, created: true, name: data.name };
        case 'fleet.renamed':
            return { ...fleet, name: data.name };
        case 'fleet.archived':
            return { ...fleet, archived: true };
        default:
            return fleet;
    }
};

const rename = (name) => (fleet) => {
    if (!fleet.created || fleet.archived) throw new Error('no such fleet, or archived');
    return name === fleet.name ? [] : [{ type: 'fleet.renamed', data: { name } }];
};

const store = getPostgreSQLEventStore(database);
const handle = CommandHandler({ evolve, initialState, retry: { onVersionConflict: true } });
const id = (n) => `fleet-${n % fleets}`;

async function seed(first) {
    for (let n = first; n < fleets; n += SEEDERS) {
        const history = Array.from({ length: events }, (_, i) => ({
            type: i === 0 ? 'fleet.created' : 'fleet.renamed',
            data: { name: `Buses of depot ${i}` },
        }));
        await store.appendToStream(id(n), history);
    }
}

let sent = 0;

// Each caller sends the next command when the last is answered.
async function round(callers, milliseconds) {
    const latenciesUs = [];
    const began = performance.now();
    const call = async (caller) => {
        for (let turn = 0; performance.now() - began < milliseconds; turn += 1) {
            const name = `Buses of depot ${sent++} and neighbours`;
            const at = performance.now();
            await handle(store, id(turn * callers + caller), rename(name));
            latenciesUs.push(Math.round((performance.now() - at) * 1000));
        }
    };
    await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
    return { seconds: (performance.now() - began) / 1000, latenciesUs };
}

await store.schema.migrate();
await Promise.all(Array.from({ length: SEEDERS }, (_, n) => seed(n)));
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
    const [callers, milliseconds] = line.split(' ').map(Number);
    console.log(JSON.stringify(await round(callers, milliseconds)));
}
await store.close();

// Checks tokens, one a line, with npm `jose` by the published keys: node check.mjs URL ISSUER AUDIENCE
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

const [url, issuer, audience] = process.argv.slice(2);
// It asks again for a key it does not know, but not within a pause; the time of the tests has none.
const keys = createRemoteJWKSet(new URL(url), { cooldownDuration: 0 });
const requiredClaims = ['sub', 'exp', 'nbf', 'iat', 'jti'];
const options = { issuer, audience, algorithms: ['EdDSA'], typ: 'at+jwt', requiredClaims };
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { payload } = await jwtVerify(line.trim(), keys, options);
    console.log(`good ${payload.sub}`);
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    console.log(`refused ${error.code}`);
  }
}

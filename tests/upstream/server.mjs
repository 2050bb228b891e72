// An authorization server that nobody here wrote, on a free port of loopback.
//
// Reads one JSON line {clients, scopes, resources, path} from standard input and answers with one,
// {issuer}. Ends when its standard input does, so that it never outlives the tests.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider, { errors } from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
const [line] = await once(lines, 'line');
const { clients, scopes, resources, path = '' } = JSON.parse(line);

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(`${origin}${path}`, {
  clients,
  scopes,
  jwks: undefined,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo(_ctx, resource) {
        const scope = resources[resource];
        if (scope === undefined) throw new errors.InvalidTarget();
        return { scope, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600 };
      },
    },
  },
  ttl: { ClientCredentials: 900 },
});

// It publishes OpenID Connect's document only; with a path, RFC 8414's place leads there as well.
const WELL_KNOWN = '/.well-known/oauth-authorization-server';
const serve = provider.callback();
server.on('request', (request, response) => {
  if (path && request.url === `${WELL_KNOWN}${path}`) {
    request.url = `${path}/.well-known/openid-configuration`;
  }
  if (path && !request.url.startsWith(`${path}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(path.length);
  serve(request, response);
});
console.log(JSON.stringify({ issuer: `${origin}${path}` }));

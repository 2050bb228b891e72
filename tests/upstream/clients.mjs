// Two OAuth clients that Node.js programs use, driven by lines of JSON on standard input:
// {library, method, url, id, secret, params} in, {token} or {error, description} out.
import { createInterface } from 'node:readline';

import * as openid from 'openid-client';
import { ClientCredentials } from 'simple-oauth2';

const LIBRARIES = {
  async 'openid-client'({ method, url, id, secret, params }) {
    const prove = {
      client_secret_basic: openid.ClientSecretBasic,
      client_secret_post: openid.ClientSecretPost,
    }[method](secret);
    const server = { issuer: new URL(url).origin, token_endpoint: url };
    const config = new openid.Configuration(server, id, {}, prove);
    openid.allowInsecureRequests(config);
    try {
      return { token: await openid.clientCredentialsGrant(config, params) };
    } catch (error) {
      // A 401 with a challenge is told by the challenge; the code is in the answer beside it.
      const said = error.code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE'
        ? await error.response.json() : error;
      if (said.error) return { error: said.error, description: said.error_description };
      throw error;
    }
  },

  async 'simple-oauth2'({ method, url, id, secret, params }) {
    const { origin, pathname } = new URL(url);
    const client = new ClientCredentials({
      client: { id, secret },
      auth: { tokenHost: origin, tokenPath: pathname },
      options: { authorizationMethod: method === 'client_secret_basic' ? 'header' : 'body' },
    });
    try {
      return { token: (await client.getToken(params)).token };
    } catch (error) {
      const said = error.data?.payload;
      if (said?.error) return { error: said.error, description: said.error_description };
      throw error;
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line);
  const answer = await LIBRARIES[wish.library](wish).catch((error) => ({ failure: `${error.stack}` }));
  console.log(JSON.stringify(answer));
}

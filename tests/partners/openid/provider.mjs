// SPDX-License-Identifier: Apache-2.0
// node-oidc-provider, a certified OpenID provider, on loopback. argv: its home, a port, an address
// to send people back to. Whoever types a name is that person, with a group of the same name.
import { generateKeyPairSync } from "node:crypto";
import { pathToFileURL } from "node:url";

const [home, port, back, after] = process.argv.slice(2);
const { default: Provider } = await import(
  pathToFileURL(`${home}/node_modules/oidc-provider/lib/index.js`)
);

const key = (type, options, kid) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }),
  use: "sig",
  kid,
});
const client = (alg, rest) => ({
  client_id: `desk ${alg}`,
  redirect_uris: [back],
  post_logout_redirect_uris: [after],
  id_token_signed_response_alg: alg,
  ...rest,
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client("RS256", { client_secret: "a secret, with: signs & 100 %" }),
    client("ES256", { token_endpoint_auth_method: "none" }),
    client("PS256", {
      client_secret: "another secret for the form body",
      token_endpoint_auth_method: "client_secret_post",
    }),
  ],
  jwks: {
    keys: [
      key("rsa", { modulusLength: 2048 }, "rsa"),
      key("ec", { namedCurve: "P-256" }, "ec"),
    ],
  },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "PS256"] },
  pkce: { required: () => true },
  scopes: ["openid", "profile"],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ sub, preferred_username: sub, groups: [sub] }),
  }),
  cookies: { keys: ["tests only"] },
});
provider.listen(Number(port), "127.0.0.1");

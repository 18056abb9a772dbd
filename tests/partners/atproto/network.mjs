// SPDX-License-Identifier: Apache-2.0
// The AT Protocol's own development network: directory, PDS, app view and Ozone, in one process.
//
// node network.mjs HOME: HOME/node_modules has @atproto/dev-env; DB_POSTGRES_URL and REDIS_HOST say
// where PostgreSQL and Redis are. Prints one line of JSON when all answer; ends at SIGTERM.

import { createRequire } from "node:module";
import net from "node:net";

const { TestNetwork } = createRequire(`${process.argv[2]}/`)("@atproto/dev-env");

// By itself it listens on every interface, with passwords that everybody knows.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === "number"
    ? listen.call(this, port, "127.0.0.1", ...rest)
    : listen.call(this, port, ...rest);
};

const network = await TestNetwork.create({
  dbPostgresSchema: "wasl",
  // As a PDS runs in production: limits on, counted in Redis.
  pds: { rateLimitsEnabled: true, redisScratchAddress: process.env.REDIS_HOST },
});
const { pds, ozone, bsky } = network;

// A labeler that lists the kinds of reason it takes refuses all others.
const labeler = ozone.ctx.cfg.service.did;
const authority = pds.getClient();
await authority.login({ identifier: "mod-authority.test", password: "hunter2" });
const record = { repo: labeler, collection: "app.bsky.labeler.service", rkey: "self" };
const { data } = await authority.com.atproto.repo.getRecord(record);
const reasonTypes = ["Spam", "Violation", "Misleading", "Sexual", "Rude", "Other"].map(
  (name) => `com.atproto.moderation.defs#reason${name}`,
);
await authority.com.atproto.repo.putRecord({ ...record, record: { ...data.value, reasonTypes } });
await network.processAll();

process.on("SIGTERM", async () => {
  await network.close();
  process.exit(0);
});
console.log(
  JSON.stringify({
    pds: `http://127.0.0.1:${pds.port}`,
    ozone: `http://127.0.0.1:${ozone.port}`,
    appview: `http://127.0.0.1:${bsky.port}`,
    labeler,
    moderator: (await network.adminHeaders({})).authorization,
    token_secret: pds.jwtSecretKey().export().toString("hex"),
  }),
);

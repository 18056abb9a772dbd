# The way to the portal for whoever must not be seen going there. Debian's tor, one onion service, nothing else.
FROM debian:stable-slim
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends tor \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o debian-tor -g debian-tor -m 700 /var/lib/tor/portal
COPY torrc /etc/tor/torrc
USER debian-tor
CMD ["tor", "-f", "/etc/tor/torrc"]

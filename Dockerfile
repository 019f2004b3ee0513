# The image holds the daemon, the libraries it is linked with, certificate authorities and a configuration: no shell, no
# package manager. It runs as a user without a name and without privileges, and writes nowhere but below /var/lib/forebay
# (journal, state) and /tmp; both may be volumes, and the rest read-only:
#
#   docker build -t forebay .
#   docker run --read-only --cap-drop ALL -p 8080:8080 -v ./forebay.yaml:/etc/forebay/forebay.yaml:ro -v forebay:/var/lib/forebay forebay
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make ca-certificates
WORKDIR /src
COPY . .
RUN make -j"$(nproc)"
RUN scripts/image-root /image

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENV STATE_DIRECTORY=/var/lib/forebay
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/forebay", "status", "--alive"]
ENTRYPOINT ["/usr/bin/forebay"]
CMD ["serve", "-c", "/etc/forebay/forebay.yaml"]

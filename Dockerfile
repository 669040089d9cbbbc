# SPDX-License-Identifier: Apache-2.0
# distilld as an image: `docker build -t distilld .`, run as a user without
# rights, with a root file system that may be read-only. Everything in it but
# distilld is a package of the distribution.
#   MARCH    instructions to use; the default runs on any machine since 2013
#   WERROR   1: a warning ends the build
#   VERSION  what `distilld --version` says; default: the file VERSION
FROM debian:13-slim AS build
WORKDIR /src
COPY .ci/deps .ci/
RUN apt-get -q update && \
    apt-get -q install -y --no-install-recommends make && \
    .ci/deps build
COPY . .
ARG MARCH= WERROR= VERSION=
RUN case ${MARCH:-$(uname -m)} in \
    x86_64) MARCH=x86-64-v3 ;; \
    aarch64) MARCH=armv8-a ;; \
    *) MARCH=${MARCH:-native} ;; \
    esac && \
    make MARCH=$MARCH WERROR=$WERROR ${VERSION:+VERSION="$VERSION"} && \
    install -D -s build/none/distilld /image/usr/bin/distilld && \
    install -D -m 644 LICENSE /image/usr/share/doc/distilld/LICENSE
# The packages of the libraries that it is linked with.
RUN ldd /image/usr/bin/distilld | awk '$2 == "=>" { print $3 }' | \
    xargs realpath | xargs dpkg-query -S | sed 's/:.*//' | sort -u \
        >/image/usr/share/doc/distilld/packages

FROM debian:13-slim
COPY --from=build /image/usr/share/doc/distilld/packages /tmp/
RUN apt-get -q update && \
    xargs apt-get -q install -y --no-install-recommends </tmp/packages && \
    rm -rf /tmp/packages /var/lib/apt/lists/* /var/cache/apt/*.bin \
        /var/cache/ldconfig /var/log/* && \
    useradd --no-log-init --uid 10001 --user-group \
        --no-create-home --home-dir /var/lib/distilld distilld && \
    install -d -o distilld -g distilld /var/lib/distilld \
        /var/lib/distilld/teacher /var/lib/distilld/student
COPY --from=build /image /
USER 10001:10001
WORKDIR /var/lib/distilld
EXPOSE 8642
# Whether the loop turns, not whether brokers answer: see /livez.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8642 && \
    printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && \
    read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["distilld"]
CMD ["--help"]

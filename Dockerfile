# The studio in a container.
#
#   docker build -t cadenza .                              for processors
#   docker build -t cadenza:cuda --build-arg TORCH=cuda .  for NVIDIA GPUs: docker run --gpus all ...
#   docker build -t cadenza:cluster --build-arg EXTRAS=serve,cluster .  for docs/cluster.md, with TORCH=cuda too
#   docker run --rm -v cadenza:/library cadenza keys add me
#   docker run -v cadenza:/library -p 8764:8764 cadenza

FROM python:3.13-slim

ARG TORCH=cpu
ARG EXTRAS=serve
WORKDIR /cadenza

# torch first and alone, in a layer of its own: it is large and changes seldom.
# PyTorch's own index is an extra one: it has the builds for processors ("+cpu" counts as newer than the same without),
# but only some versions of what torch needs, and not always those of constraints.txt.
COPY constraints.txt ./
RUN if [ "$TORCH" = cpu ]; then from="--extra-index-url https://download.pytorch.org/whl/cpu"; fi \
    && pip install --no-cache-dir --constraint constraints.txt $from torch

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt ".[$EXTRAS]" \
    && useradd --create-home cadenza \
    && mkdir /library \
    && chown cadenza /library

USER cadenza
ENV CADENZA_LIBRARY=/library
VOLUME /library
EXPOSE 8764
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8764/v1/health', timeout=5)"]

# From outside the container nobody gets in without a key.
ENTRYPOINT ["cadenza", "serve", "--no-browser", "--host", "0.0.0.0"]

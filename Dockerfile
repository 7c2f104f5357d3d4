# The server in a container. Debian, not Alpine: ONNX Runtime's native library needs glibc.
#   docker build -t stable-diffusion-ts .
#   docker run -p 7860:7860 -e SD_API_KEYS=me:a-long-secret -v sd-data:/data stable-diffusion-ts

FROM node:22-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build
COPY models ./models
COPY web ./web
RUN npm run page

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json ./
# bullmq and ioredis are for servers and workers that share a Redis, @aws-sdk/client-s3 for pictures in a bucket.
RUN npm ci --omit=dev --ignore-scripts \
  && npm install --no-save --omit=dev --ignore-scripts bullmq@6 ioredis@6 @aws-sdk/client-s3@3 \
  && npm cache clean --force
COPY --from=build /build/dist ./dist
COPY --from=build /build/web/dist ./web/dist
COPY models ./models
COPY LICENSE NOTICE ./
RUN mkdir -p /data /models && chown node:node /data /models
USER node
# Each option of sd serve is a variable; SD_API_KEYS must be given, because others reach the container.
ENV SD_HOST=0.0.0.0 SD_PORT=7860 SD_DATA=/data SD_OUTDIR=/data/outputs HF_HOME=/models/huggingface
VOLUME ["/data", "/models"]
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SD_PORT}/healthz`).then(({ok})=>process.exit(ok?0:1),()=>process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]

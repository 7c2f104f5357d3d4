/** GET /metrics, for Prometheus. */

import { defineRoute } from '../../http/route.ts';

export const metricsRoute = defineRoute({
  method: 'GET',
  path: '/metrics',
  summary: 'Metrics for Prometheus',
  flavour: 'own',
  responseType: 'text/plain',
  handle: async ({ metrics }) => ({
    bytes: new TextEncoder().encode(await metrics.text()),
    mediaType: metrics.contentType,
  }),
});

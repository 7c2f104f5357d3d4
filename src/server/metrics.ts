/** Metrics for Prometheus: requests, queue, generated pictures, and durations. */

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  request(method: string, route: string, status: number, seconds: number): void;
  accepted(source: string): void;
  refused(reason: string): void;
  /** Networks and samplers were at work for so long. */
  sampled(seconds: number): void;
  finished(outcome: string, pictures: number, waited: number, seconds: number, batch: number): void;
  /** Called when the metrics are read. */
  onRead(read: () => Promise<{ readonly queued: number; readonly running: number; readonly models: number }>): void;
  /** Seconds that a job took lately, on average. */
  readonly secondsPerJob: () => number;
  text(): Promise<string>;
  readonly contentType: string;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const { requests, accepted, refused, finished, pictures, waits, times, sampling, batches } = instruments(registers);
  let read = async (): Promise<{ queued: number; running: number; models: number }> => ({
    queued: 0,
    running: 0,
    models: 0,
  });
  new Gauge({
    name: 'sd_jobs',
    help: 'Queued and running jobs.',
    labelNames: ['state'],
    registers,
    async collect() {
      const { queued, running } = await read();
      this.set({ state: 'queued' }, queued);
      this.set({ state: 'running' }, running);
    },
  });
  new Gauge({
    name: 'sd_models_loaded',
    help: 'Models in memory.',
    registers,
    async collect() {
      this.set((await read()).models);
    },
  });
  let average = 2;
  return {
    request: (method, route, status, seconds) => requests.observe({ method, route, status: String(status) }, seconds),
    accepted: (source) => accepted.inc({ source }),
    refused: (reason) => refused.inc({ reason }),
    sampled: (seconds) => sampling.inc(seconds),
    finished(outcome, count, waited, seconds, batch) {
      finished.inc({ outcome });
      if (outcome === 'done') pictures.inc(count);
      waits.observe(waited);
      times.observe(seconds);
      batches.observe(batch);
      average += 0.1 * (seconds / batch - average);
    },
    onRead(given) {
      read = given;
    },
    secondsPerJob: () => average,
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** The counters and histograms of `Metrics`. */
function instruments(registers: Registry[]) {
  const requests = new Histogram({
    name: 'sd_http_request_seconds',
    help: 'Time to answer a request.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.025, 0.1, 0.5, 2, 10, 60],
    registers,
  });
  const accepted = new Counter({
    name: 'sd_jobs_accepted_total',
    help: 'Jobs taken into the queue.',
    labelNames: ['source'],
    registers,
  });
  const refused = new Counter({
    name: 'sd_jobs_refused_total',
    help: 'Jobs refused because there was no room.',
    labelNames: ['reason'],
    registers,
  });
  const finished = new Counter({
    name: 'sd_jobs_finished_total',
    help: 'Jobs that ended here.',
    labelNames: ['outcome'],
    registers,
  });
  const pictures = new Counter({ name: 'sd_pictures_total', help: 'Generated pictures.', registers });
  const waits = new Histogram({
    name: 'sd_job_wait_seconds',
    help: 'Time from acceptance to start.',
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800],
    registers,
  });
  const times = new Histogram({
    name: 'sd_job_seconds',
    help: 'Time from start to end.',
    buckets: [0.1, 0.5, 1, 2, 5, 15, 60, 300],
    registers,
  });
  const sampling = new Counter({
    name: 'sd_sampling_seconds_total',
    help: 'Time spent in networks and samplers.',
    registers,
  });
  const batches = new Histogram({
    name: 'sd_batch_jobs',
    help: 'Jobs per batch.',
    buckets: [1, 2, 4, 8, 16],
    registers,
  });
  return { requests, accepted, refused, finished, pictures, waits, times, sampling, batches };
}

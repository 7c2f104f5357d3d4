/** GET /internal/sysinfo: A1111's report about the machine and the program, as far as it names no paths and no secrets. */

import { arch, cpus, platform, release, totalmem } from 'node:os';
import * as z from 'zod';
import { defineRoute, json } from '../../http/route.ts';
import { optionsOf } from './option-table.ts';

const gigabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 30)}GB`;

export const sysinfo = defineRoute({
  method: 'GET',
  path: '/internal/sysinfo',
  summary: 'The machine, the program and the options of the caller',
  flavour: 'a1111',
  response: z.record(z.string(), z.unknown()),
  async handle(context, { owner }) {
    const used = process.memoryUsage.rss();
    const total = totalmem();
    const [processor] = cpus();
    return json({
      Platform: `${platform()}-${release()}-${arch()}`,
      Node: process.version,
      Version: context.version,
      CPU: { model: processor?.model ?? '', 'count logical': cpus().length },
      RAM: { total: gigabytes(total), used: gigabytes(used), free: gigabytes(Math.max(0, total - used)) },
      Extensions: [],
      Config: optionsOf(context, owner),
    });
  },
});

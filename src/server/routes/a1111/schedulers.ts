/** GET /sdapi/v1/schedulers (modules/sd_schedulers.py, v1.10.1). */

import { z } from 'zod';
import { defineRoute, json } from '../../http/route.ts';

const rows: readonly (readonly [name: string, label: string, defaultRho?: number, needsModel?: boolean, aliases?: readonly string[]])[] = [
  ['automatic', 'Automatic'],
  ['uniform', 'Uniform', -1, true],
  ['karras', 'Karras', 7],
  ['exponential', 'Exponential'],
  ['polyexponential', 'Polyexponential', 1],
  ['sgm_uniform', 'SGM Uniform', -1, true, ['SGMUniform']],
  ['kl_optimal', 'KL Optimal'],
  ['align_your_steps', 'Align Your Steps'],
  ['simple', 'Simple', -1, true],
  ['normal', 'Normal', -1, true],
  ['ddim', 'DDIM', -1, true],
  ['beta', 'Beta', -1, true],
];

export const schedulers = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/schedulers',
  summary: 'The schedules of noise',
  flavour: 'a1111',
  response: z.array(z.object({ name: z.string(), label: z.string(), aliases: z.array(z.string()).nullable(), default_rho: z.number(), need_inner_model: z.boolean() })),
  handle: async () => json(rows.map(([name, label, defaultRho = -1, needsModel = false, aliases]) => ({ name, label, aliases: aliases ?? null, default_rho: defaultRho, need_inner_model: needsModel }))),
});

/** Routes of ComfyUI's API: each is there under its own address and under `/api`, as ComfyUI has it. */

import type * as z from 'zod';
import { defineRoute, type Route, type RouteDefinition } from '../../http/route.ts';

type Definition<B extends z.ZodType, Q extends z.ZodType, P extends z.ZodType> = Omit<
  RouteDefinition<B, Q, P>,
  'flavour'
>;

/** The route under both addresses. `here`: under its own alone. */
export function comfyRoute<
  B extends z.ZodType = z.ZodUnknown,
  Q extends z.ZodType = z.ZodUnknown,
  P extends z.ZodType = z.ZodUnknown,
>(route: Definition<B, Q, P>, { here = false }: { readonly here?: boolean } = {}): readonly Route[] {
  const own = defineRoute({ ...route, flavour: 'comfyui' });
  return here ? [own] : [own, { ...own, path: `/api${route.path}`, alias: true }];
}

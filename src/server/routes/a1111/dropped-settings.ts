/** Settings of A1111 that have no effect here. The caller hears of each in `info.warnings`, the operator in the log. */

import type { ServerContext } from '../../context.ts';
import { facesOf } from './faces-of.ts';
import type { ImageToImageFields, TextToImageFields } from './generation-fields.ts';
import { requestOptions } from './request-options.ts';

/** Values by which A1111 names its own default of an option. */
export const noChoice: ReadonlySet<unknown> = new Set([undefined, null, '', 'None', 'Automatic', 'none']);

/** One line for each setting that a request makes and that is left out. */
export function droppedSettings(
  context: ServerContext,
  owner: string,
  body: TextToImageFields | ImageToImageFields,
): readonly string[] {
  const overrides = body.override_settings ?? {};
  const rows: readonly (readonly [name: string, isSet: boolean])[] = [
    ...(body.styles ?? []).map(
      (name) =>
        [
          `the style ${String(name).slice(0, 100)}`,
          !noChoice.has(name) && !context.styles.some((one) => one.name === name),
        ] as const,
    ),
    ['s_min_uncond', (body.s_min_uncond ?? 0) > 0],
    ['firstpass_image', !noChoice.has(body.firstpass_image)],
    ['latent_mask', 'latent_mask' in body && !noChoice.has(body.latent_mask)],
    ['override_settings.sd_vae', !noChoice.has(overrides['sd_vae'])],
    ['override_settings.sd_hypernetwork', !noChoice.has(overrides['sd_hypernetwork'])],
  ];
  return [
    ...facesOf(context, body, requestOptions(context, owner, overrides)).warnings,
    ...rows.flatMap(([name, isSet]) => (isSet ? [`${name} is not supported by this server and was left out.`] : [])),
  ];
}

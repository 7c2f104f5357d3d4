/** Settings of A1111 that have no effect here. The caller hears of each in `info.warnings`, the operator in the log. */

import type { ServerContext } from '../../context.ts';
import { facesOf } from './faces-of.ts';
import type { ImageToImageFields, TextToImageFields } from './generation-fields.ts';
import { requestOptions } from './request-options.ts';
import { unusedOptions } from './unused-options.ts';

/** Values by which A1111 names its own default of an option. */
export const noChoice: ReadonlySet<unknown> = new Set([undefined, null, '', 'None', 'Automatic', 'none']);

/** One line for each setting that a request makes and that is left out. */
export function droppedSettings(
  context: ServerContext,
  owner: string,
  body: TextToImageFields | ImageToImageFields,
): readonly string[] {
  const overrides = body.override_settings ?? {};
  const options = requestOptions(context, owner, overrides);
  const noise = 'initial_noise_multiplier' in body ? body.initial_noise_multiplier : undefined;
  const rows: readonly (readonly [name: string, isSet: boolean])[] = [
    ...(body.styles ?? []).map(
      (name) =>
        [
          `the style ${String(name).slice(0, 100)}`,
          !noChoice.has(name) && !context.styles.some((one) => one.name === name),
        ] as const,
    ),
    ['s_min_uncond', (body.s_min_uncond ?? 0) > 0],
    ['initial_noise_multiplier', (noise ?? 1) !== 1],
    ['firstpass_image', !noChoice.has(body.firstpass_image)],
    ['latent_mask', 'latent_mask' in body && !noChoice.has(body.latent_mask)],
    ['sd_vae', !noChoice.has(options['sd_vae'])],
    ['sd_hypernetwork', !noChoice.has(options['sd_hypernetwork'])],
    ...Object.entries(unusedOptions).map(
      ([name, value]) =>
        [
          `the option ${name}`,
          options[name] !== value && !(noChoice.has(value) && noChoice.has(options[name])),
        ] as const,
    ),
  ];
  return [
    ...facesOf(context, body, options).warnings,
    ...rows.flatMap(([name, isSet]) => (isSet ? [`${name} is not supported by this server and was left out.`] : [])),
  ];
}

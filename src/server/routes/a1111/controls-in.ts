/** ControlNet's units in A1111's requests. */

import { type UnitControls, unitControls, unitsIn } from '../../controlnet/units.ts';
import type { ServerContext } from '../../context.ts';
import type { Caller } from '../../http/picture-input.ts';
import type { SharedFields } from './generation-fields.ts';

/** The controls of ControlNet's units in a request. `hasPicture`: a unit without one takes the initial picture. */
export function controlsIn(
  context: ServerContext,
  caller: Caller,
  body: SharedFields,
  hasPicture: boolean,
): Promise<UnitControls> {
  const returnMaps = body.override_settings?.['control_net_no_detectmap'] !== true;
  return unitControls(context, caller, body.alwayson_scripts ?? {}, { returnMaps, hasPicture });
}

/** The body without its units' pictures. */
export function withoutUnits<T extends Pick<SharedFields, 'alwayson_scripts'>>(body: T): T {
  const { alwayson_scripts: scripts } = body;
  const units = scripts && unitsIn(scripts);
  return units ? { ...body, alwayson_scripts: { ...scripts, [units.name]: { args: [] } } } : body;
}

/** Control units: each has a picture, the map that is drawn from it, a weight, and the steps in which it acts. */

import { useEffect, useRef, useState } from 'react';
import type { ControlChoices } from '../engines/picture-engine.ts';
import { urlOf } from '../history/picture-database.ts';
import {
  bareName,
  controlModes,
  type ControlUnit,
  mostControls,
  networkName,
  newControl,
  noNetwork,
} from '../settings/control-units.ts';
import { SelectField, SliderField } from '../settings/fields.tsx';
import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';

/** The control networks of the engine; undefined until it answers, and for an engine without controls. */
function useChoices(): ControlChoices | undefined {
  const { engine } = useStudio();
  const [choices, setChoices] = useState<ControlChoices>();
  useEffect(() => {
    let isCurrent = true;
    setChoices(undefined);
    engine?.controls?.().then(
      (found) => isCurrent && setChoices(found),
      (error: Error) => isCurrent && studio.fail(error.message),
    );
    return () => {
      isCurrent = false;
    };
  }, [engine]);
  return choices;
}

/** The picture of a unit, and its map when asked for. */
function UnitPicture({
  unit,
  name,
  makesMap,
}: {
  readonly unit: ControlUnit;
  readonly name: string;
  readonly makesMap: boolean;
}) {
  const { controlPictures, engine, task } = useStudio();
  const input = useRef<HTMLInputElement>(null);
  const [map, setMap] = useState<{ readonly of: string; readonly file: Blob }>();
  const [busy, setBusy] = useState(false);
  const picture = controlPictures[unit.id];
  const key = `${unit.preprocessor} ${picture?.size ?? 0}`;
  const shownMap = map?.of === key && makesMap ? map.file : undefined;
  const preview = async (): Promise<void> => {
    if (!picture || !engine?.controlMap) return;
    setBusy(true);
    try {
      setMap({ of: key, file: await engine.controlMap(unit.preprocessor, picture) });
    } catch (error) {
      studio.fail((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="unit-picture">
      <input
        ref={input}
        type="file"
        hidden
        accept="image/png,image/jpeg,image/webp,image/gif"
        data-testid="control-picture"
        onChange={(event) => {
          const [file] = event.target.files ?? [];
          if (file) studio.controls.setPicture(unit.id, file);
          event.target.value = '';
        }}
      />
      {picture && (
        <div className="unit-thumbs">
          <img src={urlOf(picture)} alt={`What ${name} follows`} />
          {shownMap && <img src={urlOf(shownMap)} alt={`Map of ${name}`} />}
        </div>
      )}
      <div className="unit-buttons">
        <button type="button" className="small" onClick={() => input.current?.click()}>
          {picture ? 'Another picture' : 'Choose a picture'}
        </button>
        {picture && makesMap && (
          <button type="button" className="quiet small" disabled={busy} onClick={() => void preview()}>
            {busy ? 'Drawing the map' : 'Preview the map'}
          </button>
        )}
      </div>
      {!picture && task !== 'txt2img' && <p className="hint">Without one it takes the initial picture.</p>}
    </div>
  );
}

function Unit({
  unit,
  index,
  choices,
}: {
  readonly unit: ControlUnit;
  readonly index: number;
  readonly choices: ControlChoices;
}) {
  const name = `control ${index + 1}`;
  const change = (patch: Partial<ControlUnit>): void => studio.controls.change(unit.id, patch);
  const found = choices.models.find(({ title }) => bareName(title) === bareName(unit.model));
  const takesMap = !found?.isImagePrompt;
  const isReference = unit.model === noNetwork;
  const modules = isReference ? choices.references.map((mode) => ({ name: mode, label: mode })) : choices.modules;
  return (
    <fieldset className="unit">
      <legend>{`Control ${index + 1}`}</legend>
      <button
        type="button"
        className="quiet small icon-only unit-remove"
        aria-label={`Remove ${name}`}
        onClick={() => studio.controls.remove(unit.id)}
      >
        <Icon name="close" />
      </button>
      <SelectField
        label="Network"
        value={found?.title ?? unit.model}
        options={[
          ...(found ? [] : [[unit.model, `${bareName(unit.model)} (not on this server)`] as const]),
          ...choices.models.map(({ title }) => [title, networkName(title)] as const),
        ]}
        onChange={(model) =>
          change({ model, preprocessor: choices.models.find(({ title }) => title === model)?.preprocessor ?? 'none' })
        }
      />
      {takesMap && (
        <SelectField
          label={isReference ? 'Mode' : 'Preprocessor'}
          value={unit.preprocessor}
          options={[
            ...(modules.some((one) => one.name === unit.preprocessor)
              ? []
              : [[unit.preprocessor, unit.preprocessor] as const]),
            ...modules.map(
              (one) => [one.name, one.name === 'none' ? 'None: the picture is the map' : one.label] as const,
            ),
          ]}
          onChange={(preprocessor) => change({ preprocessor })}
        />
      )}
      <UnitPicture unit={unit} name={name} makesMap={takesMap && !isReference && unit.preprocessor !== 'none'} />
      <SliderField
        label="Weight"
        value={unit.weight}
        min={0}
        max={2}
        step={0.05}
        onChange={(weight) => change({ weight })}
      />
      <SliderField
        label="Starts at"
        value={unit.start}
        min={0}
        max={1}
        step={0.05}
        onChange={(start) => change({ start, end: Math.max(start, unit.end) })}
      />
      <SliderField
        label="Ends at"
        value={unit.end}
        min={0}
        max={1}
        step={0.05}
        onChange={(end) => change({ end, start: Math.min(end, unit.start) })}
        hint="Shares of the steps."
      />
      {takesMap && (
        <SelectField
          label="Balance"
          value={unit.mode}
          options={controlModes}
          onChange={(value) => change({ mode: controlModes.find(([mode]) => mode === value)?.[0] ?? 'balanced' })}
        />
      )}
    </fieldset>
  );
}

/** Shows nothing in the browser, which has no control networks. */
export function ControlSection() {
  const { engine, settings } = useStudio();
  const choices = useChoices();
  const { controls } = settings;
  if (!engine?.controls || !choices) return null;
  const [first] = choices.models;
  return (
    <details className="control-units">
      <summary>
        Control{' '}
        {controls.length > 0 && (
          <span className="count" role="img" aria-label={`${controls.length} in use`}>
            {controls.length}
          </span>
        )}
      </summary>
      <div className="panel-fields">
        {controls.map((unit, index) => (
          <Unit key={unit.id} unit={unit} index={index} choices={choices} />
        ))}
        {first ? (
          controls.length < mostControls && (
            <button
              type="button"
              className="small unit-add"
              onClick={() => studio.controls.add(newControl(first.title, first.preprocessor))}
            >
              <Icon name="plus" /> Add a control
            </button>
          )
        ) : (
          <p className="hint">
            A control holds the result to the lines, the depth or the pose of another picture. This server has no
            control networks yet: put some into models/ControlNet.
          </p>
        )}
      </div>
    </details>
  );
}

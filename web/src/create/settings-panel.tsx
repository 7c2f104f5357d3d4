/** The settings panel. */

import { useEffect, useId, useRef, useState } from 'react';
import { Icon } from '../shell/icons.tsx';
import { NumberInput, SeedInput, SelectField, SliderField } from '../settings/fields.tsx';
import { hasOwnSpacing, limits, type PromptSyntax, promptSyntaxes, isAnySeed } from '../settings/settings.ts';
import { studio, useStudio } from '../studio.ts';

/** Shapes by their proportions, width to height. */
const shapes = [
  ['Square', 1, 1],
  ['Tall', 2, 3],
  ['Wide', 3, 2],
] as const;

/** Sides in pixels; undefined until they are known. */
function useSidesOf(picture: Blob | undefined): { readonly width: number; readonly height: number } | undefined {
  const [sides, setSides] = useState<{ readonly width: number; readonly height: number }>();
  useEffect(() => {
    setSides(undefined);
    if (!picture) return;
    let current = true;
    createImageBitmap(picture).then(
      (bitmap) => {
        if (current) setSides({ width: bitmap.width, height: bitmap.height });
        bitmap.close();
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [picture]);
  return sides;
}

/** How prompts are read. */
const syntaxLabels: readonly (readonly [PromptSyntax, string])[] = [
  ['a1111', 'Weights: (word:1.2), [a:b:0.5]'],
  ['plain', 'Plain: brackets are text'],
];

export function SettingsPanel() {
  const { settings, engine, model, task, made, initial } = useStudio();
  const given = useSidesOf(task === 'txt2img' ? undefined : initial);
  const { size = 512, unit = 64 } = studio.model ?? {};
  const seed = useId();
  const file = useRef<HTMLInputElement>(null);
  const names = engine?.facts.models.map(({ name }) => name) ?? [];
  const { width, height } = settings;
  const shapeOf = (w: number, h: number): { width: number; height: number } => {
    const fit = (value: number): number => Math.max(unit, Math.round(value / unit) * unit);
    // The longer side grows, so that the shorter keeps the model's own size.
    const long = (value: number): number => Math.min(fit(value), Math.floor(limits.side / unit) * unit);
    return w >= h ? { width: long((size * w) / h), height: size } : { width: size, height: long((size * h) / w) };
  };
  const ofGiven = given && shapeOf(given.width, given.height);
  const asGiven =
    ofGiven &&
    shapes.some(([, w, h]) => shapeOf(w, h).width === ofGiven.width && shapeOf(w, h).height === ofGiven.height)
      ? undefined
      : ofGiven;
  return (
    <div className="panel-fields">
      <SelectField
        label="Model"
        value={model}
        options={names.map((name) => [name, name])}
        onChange={(name) => studio.chooseModel(name)}
      >
        <button type="button" className="quiet small" onClick={() => file.current?.click()}>
          <Icon name="plus" /> Own checkpoint
        </button>
      </SelectField>
      <input
        ref={file}
        type="file"
        hidden
        multiple
        accept=".safetensors,.ckpt,.pt,.yaml,.yml"
        data-testid="checkpoint"
        onChange={(event) => {
          void studio.addModels([...(event.target.files ?? [])]);
          event.target.value = '';
        }}
      />

      <fieldset className="field">
        <legend className="visually-hidden">Size</legend>
        <div className="field-head">
          <span className="label">Size</span>
          <span className="size">
            <NumberInput
              label="Width in pixels"
              value={width}
              min={unit}
              max={limits.side}
              step={unit}
              onChange={(value) => studio.change({ width: value })}
            />
            <span aria-hidden="true">×</span>
            <NumberInput
              label="Height in pixels"
              value={height}
              min={unit}
              max={limits.side}
              step={unit}
              onChange={(value) => studio.change({ height: value })}
            />
          </span>
        </div>
        <div className="shapes">
          {shapes.map(([label, w, h]) => {
            const shape = shapeOf(w, h);
            const chosen = shape.width === width && shape.height === height;
            return (
              <button
                key={label}
                type="button"
                className="shape"
                aria-pressed={chosen}
                onClick={() => studio.change(shape)}
              >
                <span className="shape-box" style={{ aspectRatio: `${w} / ${h}` }} aria-hidden="true" />
                {label}
              </button>
            );
          })}
          <button
            type="button"
            className="shape icon-only"
            aria-label="Swap width and height"
            title="Swap width and height"
            onClick={() => studio.change({ width: height, height: width })}
          >
            <Icon name="swap" />
          </button>
          {asGiven && (
            <button
              type="button"
              className="shape as-given"
              aria-pressed={asGiven.width === width && asGiven.height === height}
              onClick={() => studio.change(asGiven)}
            >
              As the picture given: {asGiven.width} × {asGiven.height}
            </button>
          )}
        </div>
      </fieldset>

      {task !== 'txt2img' && (
        <SliderField
          label="Strength"
          value={settings.strength}
          min={0}
          max={1}
          step={0.05}
          onChange={(strength) => studio.change({ strength })}
          hint="How far the new picture may go from the one you gave."
        />
      )}
      <SliderField
        label="Steps"
        value={settings.steps}
        min={1}
        max={limits.steps}
        step={1}
        onChange={(steps) => studio.change({ steps })}
      />
      <SliderField
        label="Guidance"
        value={settings.guidanceScale}
        min={1}
        max={limits.guidanceScale}
        step={0.5}
        onChange={(guidanceScale) => studio.change({ guidanceScale })}
        hint="How closely to follow the prompt."
      />

      {(studio.model?.promptSyntaxes ?? promptSyntaxes).length > 1 && (
        <SelectField
          label="Prompt syntax"
          value={settings.promptSyntax}
          options={syntaxLabels}
          onChange={(value) =>
            studio.change({ promptSyntax: promptSyntaxes.find((name) => name === value) ?? 'plain' })
          }
        />
      )}

      <div className="pair">
        <SelectField
          label="Sampler"
          value={settings.sampler}
          options={(engine?.facts.samplers ?? [settings.sampler]).map((name) => [name, name])}
          onChange={(sampler) => studio.change({ sampler })}
        />
        <SelectField
          label="Spacing"
          value={hasOwnSpacing(settings.sampler) ? '' : settings.schedule}
          disabled={hasOwnSpacing(settings.sampler)}
          options={[['', 'Its own'], ...(engine?.facts.schedules ?? []).map((name) => [name, name] as const)]}
          onChange={(schedule) => studio.change({ schedule })}
        />
      </div>

      <div className="pair">
        <div className="field">
          <div className="field-head">
            <label htmlFor={seed}>Seed</label>
            <button
              type="button"
              className="quiet small"
              disabled={!made[0]}
              onClick={() => made[0] && studio.change({ seed: made[0].settings.seed })}
            >
              Last one
            </button>
          </div>
          <span className="with-button">
            <SeedInput id={seed} value={settings.seed} onChange={(value) => studio.change({ seed: value })} />
            <button
              type="button"
              className="icon-only"
              aria-label="Another seed each time"
              title="Another seed each time"
              aria-pressed={isAnySeed(settings)}
              onClick={() => studio.change({ seed: -1 })}
            >
              <Icon name="dice" />
            </button>
          </span>
        </div>
        <SelectField
          label="Pictures"
          value={String(settings.batchSize)}
          options={[1, 2, 3, 4, 6, 8, 9, 12, 16].map((count) => [String(count), String(count)])}
          onChange={(count) => studio.change({ batchSize: Number(count) })}
        />
      </div>
    </div>
  );
}

/** The settings panel. */

import { useId, useRef, useState } from 'react';
import { addModels } from '../engines/own-models.ts';
import { SeedInput, SelectField, SliderField } from '../settings/fields.tsx';
import { offeredPresets, usualSampling } from '../settings/page-presets.ts';
import { hasOwnSpacing, isAnySeed, limits, type PromptSyntax, promptSyntaxes } from '../settings/settings.ts';
import { Icon } from '../shell/icons.tsx';
import { canNotify, setNotification, wantsNotification } from '../shell/notification.ts';
import { studio, useStudio } from '../studio.ts';
import { AdaptersButton } from './adapters-button.tsx';
import { ControlSection } from './control-section.tsx';
import { CheckField, ExtraSection, useGroups } from './extra-section.tsx';
import { StylesButton } from './styles-dialog.tsx';
import { SizeField } from './size-field.tsx';

/** How prompts are read. */
const syntaxLabels: readonly (readonly [PromptSyntax, string])[] = [
  ['a1111', 'Weights: (word:1.2), [a:b:0.5]'],
  ['plain', 'Plain: brackets are text'],
];

export function SettingsPanel() {
  const { settings, task } = useStudio();
  return (
    <div className="panel-fields">
      <ModelField />
      <SizeField />
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
      <ExtraSection section="inpaint" />
      <ClosedSection section="outpaint" title="Extend the picture" />
      <PresetField />
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
      <AdaptersButton />
      <StylesButton />
      <ExtraSection section="prompt" />
      <SamplerFields />
      <div className="pair">
        <SeedField />
        <SelectField
          label="Pictures"
          value={String(settings.batchSize)}
          options={[1, 2, 3, 4, 6, 8, 9, 12, 16].map((count) => [String(count), String(count)])}
          onChange={(count) => studio.change({ batchSize: Number(count) })}
        />
      </div>
      <ExtraSection section="variation" />
      <ExtraSection section="hires" />
      <ControlSection />
      <ClosedSection section="more" title="More">
        <NotifyField />
      </ClosedSection>
    </div>
  );
}

/** Settings that belong together, for models made for few steps; the fields below show what it set. */
function PresetField() {
  const { settings, engine } = useStudio();
  const offered = offeredPresets(engine?.facts.samplers ?? []);
  const chosen = offered.find(({ settings: own }) =>
    Object.entries(own).every(([name, value]) => settings[name as keyof typeof own] === value),
  );
  return (
    <SelectField
      label="Preset"
      value={chosen?.name ?? ''}
      options={[['', 'None'], ...offered.map(({ name, label }) => [name, label] as const)]}
      onChange={(name) => {
        const preset = offered.find((one) => one.name === name);
        studio.change(preset?.settings ?? usualSampling);
      }}
    />
  );
}

/** What few pictures need: closed until it is wanted. Absent where the task and the engine have none of it. */
function ClosedSection({
  section,
  title,
  children,
}: {
  readonly section: 'outpaint' | 'more';
  readonly title: string;
  readonly children?: React.ReactNode;
}) {
  const { there, on } = useGroups(section);
  if (there === 0) return null;
  return (
    <details className="more">
      <summary>
        {title}{' '}
        {on > 0 && (
          <span className="count" role="img" aria-label={`${on} in use`}>
            {on}
          </span>
        )}
      </summary>
      <div className="panel-fields">
        <ExtraSection section={section} />
        {children}
      </div>
    </details>
  );
}

function NotifyField() {
  const [on, setOn] = useState(wantsNotification);
  if (!canNotify()) return null;
  return (
    <CheckField
      label="Tell me when a long picture is done"
      checked={on}
      onChange={(checked) =>
        void setNotification(checked).then((allowed) => {
          setOn(allowed);
          if (checked && !allowed) studio.fail('This browser does not allow notifications from this page.');
        })
      }
    />
  );
}

function ModelField() {
  const { engine, model } = useStudio();
  const file = useRef<HTMLInputElement>(null);
  const names = engine?.facts.models.map(({ name }) => name) ?? [];
  return (
    <>
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
          void addModels([...(event.target.files ?? [])]);
          event.target.value = '';
        }}
      />
    </>
  );
}

function SamplerFields() {
  const { settings, engine } = useStudio();
  return (
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
  );
}

function SeedField() {
  const { settings, made } = useStudio();
  const seed = useId();
  return (
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
  );
}

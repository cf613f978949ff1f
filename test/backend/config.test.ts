import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { bundledModelFolder, parseBackendConfig, parseModelConfig } from '../../backend/config.ts'
import { ConfigError } from '../../shared/config-error.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** The problems that are told. */
const problems = (parse: () => unknown): readonly string[] => {
  try {
    parse()
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('it was accepted')
}

const modelFolder = (name: string): string => {
  const folder = join(tempFolder(), name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'config.json'), '{}')
  return folder
}

test('without a word the bundled model is served under its own name', () => {
  expect(parseModelConfig({}, {})).toEqual({
    modelFolder: bundledModelFolder,
    servedModelName: 'burrow-tiny',
    home: resolve('.burrow'),
    engine: { kvCacheDtype: 'float32' },
    conversion: {},
  })
})

test('a flag beats its variable, and an empty one is none', () => {
  const model = modelFolder('tiger')
  const env = {
    BURROW_GATEWAY: 'ws://127.0.0.1:1/tunnel',
    BURROW_TOKEN: 'brt_env',
    BURROW_TUNNEL_CONNECTIONS: '3',
    BURROW_MODEL: '/nowhere',
    BURROW_SERVED_MODEL_NAME: 'env-name',
    BURROW_HOME: '/data',
    BURROW_MAX_MODEL_LEN: '4096',
    BURROW_MAX_NUM_SEQS: '99',
    BURROW_MAX_NUM_BATCHED_TOKENS: '512',
    BURROW_KV_CACHE_MEMORY: '1.5G',
    BURROW_KV_CACHE_DTYPE: 'int8',
    BURROW_TENSOR_PARALLEL_SIZE: '8',
    BURROW_PIPELINE_PARALLEL_SIZE: '2',
    BURROW_DTYPE: 'float16',
    BURROW_QUANTIZATION: 'int8',
    BURROW_EMBEDDING_QUANTIZATION: 'int4',
    BURROW_ROPE_SCALING: 'yarn',
    BURROW_ROPE_FACTOR: '4',
  }
  const flags = {
    gateway: 'wss://g/tunnel',
    token: 'brt_flag',
    model,
    'served-model-name': '',
    'max-num-seqs': '8',
    'pipeline-parallel-size': '3',
    quantization: 'int4',
    'rope-factor': '8',
  }
  expect(parseBackendConfig(flags, env)).toEqual({
    gateways: [{ url: 'wss://g/tunnel', credential: { kind: 'enrolment', secret: 'brt_flag' } }],
    proxy: null,
    services: new Map(),
    tunnelConnections: 3,
    weight: 1,
    drainTimeoutMs: 30_000,
    modelFolder: model,
    servedModelName: 'env-name',
    home: '/data',
    engine: {
      maxModelLen: 4096,
      maxNumSeqs: 8,
      maxNumBatchedTokens: 512,
      kvCacheMemory: 1.5 * 2 ** 30,
      kvCacheDtype: 'int8',
    },
    conversion: {
      tensorParallelSize: 8,
      pipelineParallelSize: 3,
      dtype: 'float16',
      quantization: 'int4',
      embeddingQuantization: 'int4',
      ropeOverride: { type: 'yarn', factor: 8 },
    },
  })
})

test('limits of the engine that are no numbers are told with what to give', () => {
  const options = { 'max-model-len': '0', 'max-num-seqs': '4.5', 'max-num-batched-tokens': 'many' }
  expect(
    problems(() =>
      parseModelConfig(
        { ...options, 'kv-cache-memory': '4 parsecs', 'kv-cache-dtype': 'int4' },
        {},
      ),
    ),
  ).toEqual([
    '--kv-cache-memory must be a size such as 512M or 4G, not 4 parsecs',
    '--max-model-len must be a whole number from 1 on, not 0',
    '--max-num-seqs must be a whole number from 1 on, not 4.5',
    '--max-num-batched-tokens must be a whole number from 1 on, not many',
    '--kv-cache-dtype must be one of float32, int8, not int4',
  ])
})

test('a model of its own is served under the name of its folder', () => {
  expect(parseModelConfig({ model: modelFolder('my-llama') }, {}).servedModelName).toBe('my-llama')
})

test('the enrolment secret may come from a file, which beats the variable, and both the tunnel key', () => {
  const tokenFile = join(tempFolder(), 'token')
  writeFileSync(tokenFile, 'brt_file\n')
  const parse = (options: object, env: object) =>
    parseBackendConfig({ gateway: 'wss://g/tunnel', ...options }, { ...env }).gateways[0]
      ?.credential
  const kind = 'enrolment'
  const env = { BURROW_TOKEN: 'brt_env', BURROW_TUNNEL_KEY: 'too short, and not looked at' }
  expect(parse({ 'token-file': tokenFile }, env)).toEqual({ kind, secret: 'brt_file' })
  expect(parse({}, env)).toEqual({ kind, secret: 'brt_env' })
})

test('several gateways have a secret each, in a file with a line for each', () => {
  const tokenFile = join(tempFolder(), 'secrets')
  writeFileSync(
    tokenFile,
    '# two gateways\nwss://a.example/tunnel brt_a\n\n  wss://b.example/tunnel\tbrt_b  \n',
  )
  const parse = (options: object) =>
    parseBackendConfig({ 'token-file': tokenFile, ...options }, {}).gateways
  const account = (name: string) => ({
    url: `wss://${name}.example/tunnel`,
    credential: { kind: 'enrolment', secret: `brt_${name}` },
  })
  expect(parse({})).toEqual([account('a'), account('b')])
  expect(parse({ gateway: 'wss://B.example/tunnel' })).toEqual([account('b')])
  expect(problems(() => parse({ gateway: 'wss://c.example/tunnel' }))).toEqual([
    '--token-file has no line for wss://c.example/tunnel',
  ])
})

test('what is wrong with gateways and secrets is told without a secret', () => {
  const tokenFile = join(tempFolder(), 'secrets')
  const parse = (text: string, gateway?: string) => {
    writeFileSync(tokenFile, text)
    const flags = { 'token-file': tokenFile, ...(gateway && { gateway }) }
    return problems(() => parseBackendConfig(flags, {}))
  }
  expect(parse('wss://a/t brt_1\nbrt_2\nwss://a/t brt_3\nwss://b/t brt_4 brt_5')).toEqual([
    'line 2 of --token-file must be: URL SECRET',
    'line 3 of --token-file names a gateway that has a line already',
    'line 4 of --token-file must be: URL SECRET',
  ])
  expect(parse('brt_1', 'wss://a/t wss://b/t')).toEqual([
    'each gateway has its own enrolment secret: ' +
      'give --token-file a file with a line `URL SECRET` for each of them',
  ])
  expect(parse('brt_1', 'wss://a/t wss://a/t')).toContain('--gateway wss://a/t is given twice')
  expect(parse('brt_1', 'http://a')).toEqual([expect.stringMatching(/must begin with wss:/)])
})

test('the tunnel key is the same for all gateways', () => {
  const env = { BURROW_TUNNEL_KEY: 'k'.repeat(40), BURROW_GATEWAY: 'wss://a/t wss://b/t' }
  const { gateways } = parseBackendConfig({ name: 'box' }, env)
  expect(gateways).toMatchObject([
    { url: 'wss://a/t', credential: { kind: 'tunnelKey', name: 'box' } },
    { url: 'wss://b/t', credential: { kind: 'tunnelKey', name: 'box' } },
  ])
})

test.each([
  ['tunnel-connections', '5', '--tunnel-connections may be 4 at most'],
  ['tunnel-connections', '0', '--tunnel-connections must be a whole number from 1 on, not 0'],
  ['weight', '0', '--weight must be a number above 0, up to 1000, not 0'],
  ['weight', 'heavy', '--weight must be a number above 0, up to 1000, not heavy'],
  ['drain-timeout', '-1', '--drain-timeout must be a whole number from 1 on, not -1'],
])('--%s %s is refused', (flag, value, problem) => {
  const flags = { gateway: 'wss://g/tunnel', token: 'brt_x', [flag]: value }
  expect(problems(() => parseBackendConfig(flags, {}))).toEqual([problem])
})

test('all problems are told together, each with what to do', () => {
  expect(
    problems(() => parseBackendConfig({ model: '/nowhere', 'served-model-name': 'a b' }, {})),
  ).toEqual([
    'the gateway is missing: give --gateway wss://HOST/tunnel or BURROW_GATEWAY',
    'the enrolment secret is missing: give --token-file FILE or BURROW_TOKEN ' +
      '(`burrow backends enroll --name NAME` on the gateway prints one), or BURROW_TUNNEL_KEY',
    '/nowhere is no model folder: it has no config.json (and is no .gguf file, nor holds one)',
    'the served model name must have 1 to 128 visible ASCII characters: give --served-model-name',
  ])
})

test('a token file that cannot be read is one problem, an empty one is a missing token', () => {
  const parse = (tokenFile: string) =>
    problems(() => parseBackendConfig({ gateway: 'wss://g/tunnel', 'token-file': tokenFile }, {}))
  expect(parse('/nowhere')).toEqual([expect.stringMatching(/^cannot read --token-file: ENOENT/)])
  const empty = join(tempFolder(), 'token')
  writeFileSync(empty, '\n')
  expect(parse(empty)).toEqual([expect.stringMatching(/^the enrolment secret is missing/)])
})

test.each(['0', '-1', '1.5', 'two', '1e999'])('%s is no parallel size', (size) => {
  const sizes = { 'tensor-parallel-size': size, 'pipeline-parallel-size': size }
  expect(problems(() => parseModelConfig(sizes, {}))).toEqual([
    `--tensor-parallel-size must be a whole number from 1 on, not ${size}`,
    `--pipeline-parallel-size must be a whole number from 1 on, not ${size}`,
  ])
})

test.each([
  [{ 'rope-scaling': 'yarn' }],
  [{ 'rope-factor': '8' }],
  [{ 'rope-scaling': 'ntk', 'rope-factor': '8' }],
  [{ 'rope-scaling': 'yarn', 'rope-factor': '0.5' }],
])('%j is no rotary scaling', (options) => {
  expect(problems(() => parseModelConfig(options, {}))).toEqual([
    '--rope-scaling must be one of linear, dynamic, yarn, llama3, and --rope-factor a number from 1 on: give both',
  ])
})

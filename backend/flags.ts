/** The flags that the backend and its commands take; config.ts checks their values. */
import { drainTimeoutFlag, homeFlag, metricsPortFlag, type FlagTable } from '../shared/flags.ts'

const serving = ['up', 'backend']
const converting = ['up', 'backend', 'shard']

export const backendFlags = {
  expose: {
    value: 'NAME=URL',
    help: 'publishes an HTTP service of this machine, e.g. notebook=http://127.0.0.1:8888',
    isList: true,
    commands: ['up', 'backend'],
  },
  home: homeFlag,
  'metrics-port': { ...metricsPortFlag, commands: ['backend'] },
  model: {
    value: 'DIR',
    help: "model folder in Hugging Face's layout, .gguf file, or what `burrow shard` wrote",
    fallback: 'the bundled one',
    commands: converting,
  },
  'served-model-name': {
    value: 'NAME',
    help: 'the name clients use',
    fallback: "the folder's name",
    commands: serving,
  },
  'max-model-len': {
    value: 'TOKENS',
    help: 'prompt and answer together',
    fallback: "the model's context as far as it fits",
    commands: serving,
  },
  'max-num-seqs': {
    value: 'N',
    help: 'sequences computed together',
    fallback: '16 as far as they fit',
    commands: serving,
  },
  'max-num-batched-tokens': {
    value: 'N',
    help: 'tokens computed in a step',
    fallback: '256',
    commands: serving,
  },
  'kv-cache-memory': {
    value: 'SIZE',
    help: '512M, 4G, …',
    fallback: "a quarter of the machine's memory",
    commands: serving,
  },
  'kv-cache-dtype': {
    value: 'TYPE',
    help: 'numbers in the KV cache: float32 or, four times as small, int8',
    fallback: 'float32',
    commands: serving,
  },
  'step-timeout': {
    value: 'SECONDS',
    help: 'a step that takes longer is stuck: its requests fail, and the engine starts again',
    fallback: '300',
    commands: serving,
  },
  'tensor-parallel-size': {
    value: 'N',
    help: 'ranks that share each layer',
    fallback: '1',
    commands: converting,
  },
  'pipeline-parallel-size': {
    value: 'N',
    help: 'stages of layers',
    fallback: '1',
    commands: converting,
  },
  dtype: {
    value: 'TYPE',
    help:
      'numbers that weights are stored in: float32, float16, bfloat16, or auto: the ' +
      "checkpoint's own, and float32 for quantised types of GGUF; they are computed in float32",
    fallback: 'auto',
    commands: converting,
  },
  quantization: {
    value: 'TYPE',
    help: 'of the matrices: none, int8 or int4, in blocks of 32 with a scale each',
    fallback: 'none',
    commands: converting,
  },
  'embedding-quantization': {
    value: 'TYPE',
    help: 'of embedding and output head, beside --quantization: int8, or with int4 layers int4',
    fallback: 'int8, since their errors go straight into the answer',
    commands: converting,
  },
  'rope-scaling': {
    value: 'TYPE',
    help: 'linear, dynamic, yarn or llama3',
    fallback: "the model's own",
    commands: converting,
  },
  'rope-factor': {
    value: 'N',
    help: 'how many times the context',
    commands: converting,
  },
  out: {
    value: 'DIR',
    help: 'where `burrow shard` puts the converted model, which needs the original no more',
    variable: 'none',
    commands: ['shard'],
  },
  verify: {
    value: 'DIR',
    help: 'has `burrow shard` compare a converted model with its checksums',
    variable: 'none',
    commands: ['shard'],
  },
  gateway: {
    value: 'URL',
    help: "the gateway's tunnel",
    isList: true,
    commands: ['backend'],
  },
  'tunnel-connections': {
    value: 'N',
    help: 'connections to each gateway, up to 4',
    fallback: '2',
    commands: ['backend'],
  },
  weight: {
    value: 'N',
    help: 'how much this backend can do beside others of its model',
    fallback: '1',
    commands: ['backend'],
  },
  'drain-timeout': drainTimeoutFlag,
  'token-file': {
    value: 'FILE',
    help: 'file with the enrolment secret, else BURROW_TOKEN; with several gateways a line `URL SECRET` each',
    variable: 'none',
    commands: ['backend'],
  },
  token: {
    value: 'SECRET',
    help: 'the enrolment secret itself, which others on the machine can see',
    commands: ['backend'],
  },
  name: {
    value: 'NAME',
    help: "with BURROW_TUNNEL_KEY: the backend's name",
    fallback: "the host's name",
    commands: ['backend'],
  },
} as const satisfies FlagTable

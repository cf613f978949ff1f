/** The flags that the gateway and its commands take; config.ts checks their values. */
import { drainTimeoutFlag, homeFlag, type FlagTable } from '../shared/flags.ts'

const listening = ['up', 'gateway']
const administration = ['keys', 'backends']

export const gatewayFlags = {
  host: {
    value: 'HOST',
    help: 'where the gateway listens',
    fallback: '127.0.0.1',
    commands: listening,
  },
  port: {
    value: 'PORT',
    help: 'and its port; 0: any free one',
    fallback: '8080',
    commands: listening,
  },
  home: homeFlag,
  'drain-timeout': drainTimeoutFlag,
  'trusted-proxy': {
    value: 'ADDRESS',
    help: 'proxy in front, as an address or CIDR range: its X-Forwarded-For is believed',
    isList: true,
    commands: listening,
  },
  model: {
    value: 'NAME',
    help: '`backends enroll`: a served model name that the backend may register; any without',
    isList: true,
    variable: 'none',
    commands: ['backends'],
  },
  name: {
    value: 'NAME',
    help: 'of a new key or backend',
    variable: 'none',
    commands: administration,
  },
  gateway: {
    value: 'URL',
    help: 'keys and backends of a gateway on the web, which BURROW_ADMIN_TOKEN opens',
    variable: 'none',
    commands: administration,
  },
  json: {
    help: 'machine-readable output of keys and backends',
    variable: 'none',
    commands: administration,
  },
} as const satisfies FlagTable

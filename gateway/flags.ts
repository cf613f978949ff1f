/** The flags that the gateway and its commands take; config.ts checks their values. */
import { drainTimeoutFlag, homeFlag, metricsPortFlag, type FlagTable } from '../shared/flags.ts'

const listening = ['up', 'gateway']
const administration = ['keys', 'backends', 'services']

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
  'service-domain': {
    value: 'ORIGIN',
    help: 'exposed services are visited at NAME below it, e.g. https://apps.example.com',
    commands: listening,
  },
  'service-port': {
    value: 'NAME=PORT',
    help: 'an exposed service has a port of its own',
    isList: true,
    commands: listening,
  },
  expires: {
    value: 'TIME',
    help: 'of a grant, such as 90m or 30d',
    fallback: '12h',
    variable: 'none',
    commands: ['services'],
  },
  'drain-timeout': drainTimeoutFlag,
  'metrics-port': { ...metricsPortFlag, commands: listening },
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
    help: 'of a new key, backend or grant',
    variable: 'none',
    commands: administration,
  },
  gateway: {
    value: 'URL',
    help: 'keys, backends and tunnel of a gateway on the web, which BURROW_ADMIN_TOKEN opens',
    variable: 'none',
    commands: ['keys', 'backends', 'tunnel'],
  },
  json: {
    help: 'machine-readable output of keys, backends, services and tunnel',
    variable: 'none',
    commands: [...administration, 'tunnel'],
  },
} as const satisfies FlagTable

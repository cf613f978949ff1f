ALTER TABLE `backends` ADD `public_key` text;--> statement-breakpoint
ALTER TABLE `backends` ADD `models` text;--> statement-breakpoint
CREATE UNIQUE INDEX `backends_public_key_unique` ON `backends` (`public_key`);--> statement-breakpoint
DROP INDEX `backends_digest_unique`;--> statement-breakpoint
ALTER TABLE `backends` DROP COLUMN `digest`;--> statement-breakpoint
ALTER TABLE `backends` DROP COLUMN `pepper_version`;
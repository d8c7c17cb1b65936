"""What a day or a week brought: one report for the API, the console, the command line, mails and webhooks."""

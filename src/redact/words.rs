//! What each built-in rule matches, in words.

/// By the name of the rule.
const WORDS: &[(&str, &str)] = &[
    ("private_key", "private keys in PEM, all lines of them"),
    ("encoded_private_key", "private keys in PEM, encoded once more in base64"),
    ("aws_access_key", "ids of access keys of AWS"),
    ("aws_session_token", "session tokens and Bedrock keys of AWS"),
    ("aws_secret_key", "secret access keys of AWS, by their name"),
    ("github_token", "tokens of GitHub: personal, OAuth, server, refresh, user"),
    ("github_fine_grained_pat", "fine-grained personal tokens of GitHub"),
    ("gitlab_token", "tokens of GitLab: personal, deploy, runner, job, agent and the like"),
    ("gitlab_runner", "registration tokens of GitLab runners"),
    ("slack_token", "tokens of Slack"),
    ("slack_webhook", "webhooks of Slack"),
    ("discord_webhook", "webhooks of Discord"),
    ("webhook", "webhooks of Teams, Zapier, Make and IFTTT"),
    ("telegram_token", "tokens of Telegram bots"),
    ("stripe_key", "keys and webhook secrets of Stripe"),
    ("twilio_key", "keys of Twilio"),
    ("sendgrid_key", "keys of SendGrid"),
    ("mailchimp_key", "keys of Mailchimp"),
    ("npm_token", "tokens of npm"),
    ("pypi_token", "tokens of PyPI"),
    ("anthropic_key", "keys of Anthropic"),
    ("openai_key", "keys of OpenAI and OpenRouter"),
    ("google_api_key", "API keys of Google"),
    ("google_oauth", "client secrets, access and refresh tokens of Google"),
    ("model_key", "keys of services that run models: xAI, Groq, Perplexity, Replicate, NVIDIA and others"),
    ("vault_token", "tokens of HashiCorp Vault"),
    ("grafana_token", "tokens of Grafana"),
    ("atlassian_token", "tokens of Atlassian and Bitbucket"),
    ("databricks_token", "tokens of Databricks"),
    ("tailscale_key", "keys of Tailscale"),
    ("azure_connection", "account and shared access keys in connection strings of Azure"),
    ("azure_marked_key", "keys of Azure that hold the mark of their service"),
    ("azure_client_secret", "client secrets of Azure"),
    ("azure_devops", "tokens of Azure DevOps"),
    ("docker_token", "tokens of Docker"),
    ("cloudflare_key", "keys and tokens of Cloudflare"),
    ("supabase_key", "keys of Supabase"),
    ("mailgun_key", "keys of Mailgun"),
    ("newrelic_key", "keys of New Relic"),
    ("newrelic_license", "licence keys of New Relic"),
    ("sentry_token", "tokens of Sentry"),
    (
        "service_key",
        "keys of services with a prefix of their own: Linear, Notion, Figma, Shopify, PlanetScale and many others",
    ),
    ("maxmind_key", "keys of MaxMind"),
    ("uuid_key", "keys that are a UUID behind a prefix: Plaid, HubSpot, LaunchDarkly and others"),
    ("short_prefix_key", "keys of services with a short prefix, as whole words"),
    ("doppler_token", "service tokens of Doppler"),
    (
        "dotted_key",
        "keys of parts with dots between them: Doppler, Terraform Cloud, Dynatrace, Airtable and others",
    ),
    ("huggingface_token", "tokens of Hugging Face"),
    ("digitalocean_token", "tokens of DigitalOcean"),
    ("age_secret_key", "secret keys of age"),
    ("heroku_key", "keys of Heroku: a UUID near that word"),
    ("export_aws_secret", "a shell exports a secret or a session token of AWS"),
    ("export_secret", "a shell exports a key, a token or a password"),
    ("connection_string", "URLs of databases and queues with a password"),
    ("url_password", "the password in any URL"),
    ("bearer_token", "Authorization: Bearer …"),
    ("basic_auth", "Authorization: Basic …"),
    ("generic_api_key", "what is assigned to an API key"),
    ("generic_token", "what is assigned to an access, auth, refresh or session token"),
    ("generic_password", "what is assigned to a password, in quotes"),
    ("generic_secret", "what is assigned to a secret or a secret key"),
    ("env_password", "passwords in environment files"),
    ("connection_password", "passwords in connection strings"),
    ("assigned_password", "what is assigned to a password and looks like one"),
    ("assigned_secret", "what is assigned to a token, a key or a secret and looks like one"),
    ("element_password", "passwords in elements of XML"),
    ("element_secret", "tokens, keys and secrets in elements of XML"),
    ("line_password", "a line that gives a password"),
    ("line_secret", "a line that gives a token, a key or a secret"),
    ("password_argument", "passwords in arguments of commands"),
    ("secret_argument", "tokens, keys and secrets in arguments of commands"),
    ("user_argument", "passwords behind a user in arguments, as curl -u has them"),
    ("netrc_password", "passwords of .netrc files"),
    ("netrc_line", "passwords of .netrc files on a line of their own"),
    ("pgpass_line", "passwords of .pgpass files"),
    ("authorization_header", "any other value of an Authorization header"),
    ("digest_response", "responses of digest authentication"),
    ("signed_url", "signatures of signed URLs"),
    ("url_key", "keys and codes in query strings"),
    ("url_token", "tokens in place of the user of a URL"),
    ("jwt_token", "JSON web tokens"),
];

/// What the rule called `name` matches; a test holds that each has its words.
pub(super) fn about(name: &str) -> &'static str {
    WORDS.iter().find(|(of, _)| *of == name).map_or("", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::rules::BUILT_IN;
    use super::*;

    #[test]
    fn every_rule_has_its_words_and_no_other_has() {
        let rules: BTreeSet<&str> = BUILT_IN.iter().map(|rule| rule.name).collect();
        let told: BTreeSet<&str> = WORDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(told, rules);
        assert_eq!(told.len(), WORDS.len());
    }
}

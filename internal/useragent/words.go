package useragent

// A trait is something that a word of a user agent gives away.
type trait uint64

const (
	isInnocent   trait = 1 << iota // looks like a word of the others, and is not
	isBot                          // a crawler, checker, previewer … says what it is
	isBotHint                      // the same, where nothing speaks against it
	isSoftBot                      // a word of robots that applications for people are named with too
	isClient                       // an HTTP library or command-line program
	isAppClient                    // an HTTP library that apps on phones use
	hasContact                     // an address to write to or to read about it
	isMSIE                         // Internet Explorer, whose add-ons write addresses too
	isEngine                       // a browser engine or a browser people use
	isRenderer                     // something that draws pages
	isPlayer                       // plays podcasts and music to people
	isCompatible                   // "(compatible; …", as robots and old browsers say
	isHostApp                      // an application's own browser: Electron, a WebView
	isApp                          // an app's own network stack, which says no "Mobile"
	isTV                           // a television, set-top box or stick
	isTVHint                       // the processors of set-top boxes
	isConsole                      // a game console
	isWearable                     // a watch or a headset
	isAppliance                    // e-reader, car, printer, speaker, camera …
	isPhone                        // a phone's own word
	isPuffin                       // Puffin renders elsewhere, says "Linux" and ends its version in
	puffinPhone                    // "AP", "IP", "WP" on phones
	puffinTablet                   // and "AT", "IT" on tablets
	isIPad
	isIPhone     // an iPhone or iPod
	isAppleApp   // an app on an iPhone, an iPad or a Mac
	isMacApp     // that names a Mac
	isTabletWord // says tablet
	isTabletCode // a code family of tablets
	isPhoneCode  // a name of phones that looks like a tablet's
	isLaptop     // a computer that runs Android
	isAndroid    // Android in any spelling
	saysMobile   // the word Mobile
	isMac
	isIOSBrowser // a browser that exists on iOS only
	isWinRT      // Windows RT: Surface and its like
	isSamsungX11 // Samsung Internet, which exists on Android only
	isWindowsNT  // Windows itself, not Windows Phone
	isDesktopOS  // a system that computers run
	isXbox       // an Xbox, whatever Windows it names
	modelTablet  // by the table of models, from here on
	modelTV
	modelConsole
	modelPhone
	modelWearable
	modelOther
	isMaybeBot // a robot unless it is a phone or an app
	isNamedApp // an application stands before its HTTP library
	isBare     // shaped like no browser: "name/1.2 (…)"
)

// notInModel are the traits whose words do not count inside a model's name:
// "VR BOT 552" is a phone.
const notInModel = isBot | isSoftBot | isBotHint | isClient | isAppClient | isPlayer

// A wordRow is one line of the table below.
type wordRow struct {
	trait     trait
	modelOnly bool
	words     string
}

// knownWords is what we know about words in user agents. Words are separated
// by white space and compared in ASCII lower case, anywhere in the agent.
//
//	^ $ the agent begins or ends here
//	< > no letter or digit may stand beside it on this side
//	# one digit
//	@ one letter
//	_ a space, '-' or '_'
//
// The bots' words build on isbot (Unlicense, https://github.com/omrilotan/isbot).
var knownWords = []wordRow{
	{trait: isInnocent, words: `
		developerpreview camscan user_agent: user_agent= alexaservice tablet_pc cubot m_bot kidbot firephp <gsa/
		google_pixel google/google botim> turbot lenovo_b service_pack wap_proxy libwww-fm masking-agent yahoomobile
		robot_phone cloudphone`},
	{trait: isBot, words: `
		siteimprove hardenize silktide datanyze linktiger openvas printfriendly securityheaders watchtowr webthumb
		websnapr thumbor/ zombie.js archivebox search_console searchbyimage page_speed keyword_suggestion duplexweb
		googlemessages debugbear stumbleupon contentscan scraping collectbot bot> bot_ bots> bot/ bot; bot. b0t bot#
		robot crawl spider slurp scraper scrapy headless lighthouse <fetch> checklink linkcheck link_check
		linkpreview previewer pingdom feedfetch feedburner feedparser imageproxy phantomjs casperjs puppeteer
		playwright cypress/ selenium synthetic webkit2png wkhtmlto pagespeed ptst/ ptst> dareboost speedcurve rigor>
		catchpoint gomezagent dejaclick neustar_wpm iplabel yottaa faviconarchive mediapartners google_favicon
		google_site_verif google_structured google_safety google_physicalweb google_ads google_adwords
		google_publisher google_web_preview google_youtube_links google_speakr google_test google_transparency
		google_xrawler googleother google_producer google_extended googleassociation googleprober googleweblight
		google_cloud_t facebookexternal facebookcatalog facebookplatform facebot meta_external externalhit cortex/
		embedly bitlybot heritrix nutch yeti/ <yeti> daum> daumoa sogou_ sogou> bingpreview msnbot teoma ask_jeeves
		scooter w3c_ jigsaw xenu_ httrack teleport_pro webzip sitesucker siteanaly site24x7 nessus nikto sqlmap
		<nmap> masscan zgrab netcraft censys qualys arachni acunetix netsparker wpscan dirbuster zmeu morfeus
		security_scan internet_measurement vulnerab appengine google_http apis_google skypeuripreview telegrambot
		discordbot slackbot slack_img tumblr/ bluesky/ mastodon/ ^snapchat yahooseeker chatgpt_user gptbot claudebot
		anthropic ccbot amazonbot applebot check_http kube_probe elb_health healthcheck health_check prometheus/
		blackbox_exp munin researchscan webmon website_ websitepulse internetvista hosttracker freshping updown>
		montastic site_monitor sitemonitor movabletype typo3 virustotal clamav fortiguard safeassign copyscape
		semrush ahrefs majestic mj12 dotbot rogerbot seokicks seobility <serp extractor exractor webcollage
		webcapture googletranslate testcert ssl_labs ssllabs tls_ dnsscan websearch search_engine useragent>
		default_user_agent ^php <php> ^perl nameprotect larbin omniweb_ webvac link_sleuth linkwalker linkdex
		linkedinbot linkapedia link_valet linkchkr fastly> akamai> hwcdn keycdn cloudfront prerender webhook>
		webhooks integromat wayback blogtrottr pingback trackback trackable collapsify pageburst functionize
		foregenix scope3 bloglines torrent/ btwebclient aria2 getright gozilla igetter download_master mass_down
		leech webgo dmbrowser fdm_ siteexplorer site_explor expanse paloalto binaryedge shodan onyphe leakix
		l9explore l9tcpid reaper sucker> grub_client grub> emailsiphon emailcollect cherrypick webbandit websnarf
		powermarks browsershots browserstack sauce_labs crossbrowser virtuoso infrawatch burpcollab hydra/
		embarcadero iframely flipboardproxy quora_link vkshare xing_content redditbot mail.ru/ mail_ru trendiction
		brandwatch meltwater wikido apercite pixray picsearch exabot voila gigablast looksmart genieo nuhk ichiro
		<istella> gethpinfo gigabot mnogo htdig swish ultraseek wisenut atomz almaden becomebot omgili ips_agent
		speedtest> webpagetest watchmouse alertsite evc_batch panopta morningscore onetrust convertify adbeat
		mediavine adsbot admantx adscanner integralads grapeshot proximic peer39 pixalate doubleverify mappercmd bw/#
		contxbot <ort/ orangebot> yacy> searxng collecta jobhunter html_get urllib urlgrab links_check deadlink
		brokenlink broken_link linkexam http_get http_req http_agent perplexity-user perplexitybot claude-user
		claude-web claude-search openai.com openai- _{} http_client/ -scan$ observatory optimizer-agent webshot
		shrinktheweb snapsearch mixnode biglotron memgator stackrambler alertra basicstate lightspeedsystems newsnow/
		mowser backlink googleadwords google_pp_ url_tester urltester wptester screenshot-gen catchpoint) fediverse
		smartsite contentking marketgoo <swcd google-podcast ^spotify/1.0$ duration_lookup subscribers>
		_subscriber> feed-id feed_id podcast_sync feed_parser feedvalidator importer> importer/ <itms> podtrac
		podchaser podsights chartable podscribe podcastindex aggrivator feed_fetch podnews listen_notes listennotes
		rephonic audioburst fyyd castfeed feedbin podping podcast_feed podcast_index podengine podcastly transcrib
		castopod blubrry op3`},
	{trait: isSoftBot, words: `
		scan/ scan> scanning <scan> scanner> checker> monitoring monitor/ <audit auditor analyzer analyser inspector
		inspection detector> translator verifier verification validator readability newsify feedly inoreader netvibes
		newsgator liferea ^read ^track ^rank ^search searcher certificate copyright seo> <seo blog> toolbox mapper>
		keynote> boomerang> moat> indexer disqus/ ^discourse jetpack drupal joomla magento> offline_ screenshot
		thumbnail datadog newrelic grafana zapier ifttt cloudflare symantec> barracuda trendmicro zendesk hubspot
		retriev classifier perplexity cohere openai claude_ uptime parser/ ^facebook ^yahoo ^yandex ^duckduckgo
		bluecoat forcepoint zscaler> nagios zabbix statuscake sitemap copier ripper plagiar turnitin owler archiver
		fetcher grabber harvest whois favicon> google_lens google_read google_shopping google_image newspaper/
		measurement> transcoder wappalyzer curious linguee newsblur aggregator`},
	{trait: isBotHint, words: `
		google-@ <abuse feed archiv detect grab insights inspect measure optimiz scrap validat resolver> resizer>
		watcher preview_ finder) finder/ service/ agent> agent/ tester> java/# ^java> ^java# url_ urls> <url>
		translate> reader> preview/ domain> domains> server> server/ library> collector> collect/ snapshot> services>
		insight> capture> verify> http_client ruby> rails> perl> powershell tools/ wordpress> wordpress/
		wordpress.com download_manager> rss> rss/`},
	{trait: isClient, words: `
		updatemanager ^curl <curl/ libcurl wget python> python/ python-req python-url pycurl aiohttp httpx/ mechanize
		go_http ^go_# go-resty gohttp fasthttp fiber/ jakarta apache_http okio ^jersey jetty/ reactornetty netty/
		async-http ^ahc/ unirest resttemplate retrofit feign/ restsharp rest_client restclient guzzle symfony
		zend_http phpcrawl php/ cakephp pear_http snoopy libwww-perl w3c-libwww lwp:: lwp_ ^lwp> perl/ ruby/ faraday
		typhoeus httparty em-http http.rb httprb axios/ node-fetch node-super superagent/ undici got_( ^got/ ^node
		node.js request/ request-promise needle/ hyper/ reqwest ureq/ attohttpc ^rust ^dio/ ^http/ httpie xh/#
		winhttp wininet microsoft_bits webdav microsoft_data webdrive microsoft-cryptoapi certutil winget nuget
		chocolatey windows-update-agent msfrontpage ^microsoft_url internetexplorerclient postman insomnia/ soapui
		jmeter gatling locust apachebench siege/ k6/# vegeta wrk/ hey/# bombardier loadrunner artillery ^fetch/ ^rest
		grpc- ^grpc curb/ libsoup neon/ serf/ git/# ^git> mercurial ^apt- debian_apt apt-http dnf/ yum/ urlgrabber
		pip/# ^pip> npm/ yarn/# composer/ cargo> ^bun/ deno/ docker/ containerd kubernetes kubectl helm/ terraform
		ansible puppet chef_client vault/ consul> aws-sdk aws-cli <boto> azure- ^azure google-api gcloud lua-resty
		ngx_lua erlang hackney mojolicious anyevent coldfusion cfhttp cfschedule groovy clj-http http-kit akka-http
		spray-can scalaj dispatch/# play-ws nghttp2 h2load httpunit htmlunit httpcore indy_lib indy> synapse> delphi
		xmlrpc xml_rpc soap> soap/ gsoap axis/ cxf nusoap twisted zope/ urlopen libghttp mget> lynx_libwww fetch_api
		http-tiny lftp/ ncat ffmpeg lavf/ libavformat gstreamer swcd> ^swcd appsiteassoc emacs`},
	{trait: isAppClient, words: `okhttp dart: ^dart/ ktor_client cronet`},
	{trait: hasContact, words: `www. mailto: @gmail @yahoo @hotmail _at_gmail (at) [at] http:/ https:`},
	{trait: isMaybeBot, words: `
		httpclient service> ^whatsapp proxy> proxy/ shopify> analytics yahoo!_ downloader> download> <research> .com>
		.ai> .co> .org> .co.uk`},
	{trait: isMSIE, words: `msie_ trident/`},
	{trait: isCompatible, words: `compatible;`},
	{trait: isEngine, words: `
		<nx/# dplus anyconnect micromessenger mozac googleapp/ browser explorer> explorer/ [fban applewebkit gecko/
		khtml presto/ opera/ opera_ ^opera msie_ trident/ <chrome/ firefox/ safari/ netscape konqueror lynx/ <links>
		elinks w3m/ dillo netfront obigo blackberry ucweb nokia dalvik/ cfnetwork netsurf <icab ibrowse dolfin maui
		semc- opr/ servo/ netpositive voyager hotjava emailwin mosaic webtv iweng oregano galeon chimera camino
		amiga-aweb arexx fresco retawq arachne crios fxios edgios mobile/ webkit/ thunderbird outlook avant_ polaris
		jasmine teleca openharmony arkweb/`},
	{trait: isPlayer, words: `
		<vlc/ winamp foobar2000 overcast/ <castro pocket_casts pocketcasts podcasts/ podcasts> podcast_app
		podcast_player podcastplayer podcast_addict podcastaddict antennapod castbox downcast icatcher podkicker
		podbean/ podcast_republic podcastrepublic beyondpod doggcatcher player_fm playerfm castamatic stitcher tunein
		radiopublic podcruncher rssradio rss_radio instacast <spotify/ deezer/ itunes/ applecoremedia stagefright
		exoplayer libvlc clementine rhythmbox amarok banshee kodi/ <mpv> mplayer quodlibet gpodder/ audacious xbmc/
		nsplayer wmplayer windows-media-player sonos/ podverse <luminary/ himalaya audible/ iheart podimo breaker/
		snipd fountain/ goodpods podcast_guru podcastguru jiosaavn anghami acast/ laughable/ wondery amazonmusic
		amazon_music zune/ radio/ radio> player/ player> podcat/ podcatcher musicbee audioboom/ podurama moon_fm
		procast/ rocketcast hypercatcher tuneinradio nativehost quicktime/ bullhorn/ podbay castcloud mediamonkey
		juice/ miro/ npr_one nprone googlepodcasts/ audials newpipe bbc_sounds bbcsounds podstation podgrasp swoot/
		vurbl podkicker_pro cast/ pods/ soundcloud/ tidal/ pandora/ mediaplayer`},
	{trait: isHostApp, words: `electron/ ;_wv) <slack <discord teams/`},
	{trait: isApp, words: `
		^dalvik ^androiddownloadmanager androidhttp _android_http ^com. stagefright exoplayer ^apache-http ^volley
		^ktor cfnetwork/`},
	{trait: isTV, words: `
		tpm1## vizio smartcast opentv otvwebkit hybridcast cinnamon/ mbxtwebkit (hisense smart_tv smarttv smarthub
		hbbtv google_tv googletv android_tv androidtv apple_tv appletv <tv> <tv_ tvos> netcast web0s webos.tv
		large_screen crkey chromecast aquos bravia viera <roku/ ^roku <roku> roku# dlnadoc dlna/ nettv/ ce-html
		inettvbrowser dtvnetbrowser <dtv; tvwith webtv opera_tv <omi/# vidaa vstvb kreatv boxee espial <stb> settop
		set_top_box stbapp <ott> tvbox tv_box mibox mi_box mitv mi_tv firetv fire_tv maple2 <maple_# maple/ maple;
		philipstv sonydtv lg_browser lge_tv lg_smart lg_tv lgwebos nexus_player shield_android bdp-s blu_ray bluray
		netflix netrange sraf/ <ipla> tivo> <tivo dvr> humax> technisat vestel hisense-mt cnv001 sky_stb skystb iptv
		<mag#00 mag2## mag3## infomir formuler tvheadend netgem gxt_dongle dongle> tv_stick tvstick mini_pc mk8##
		mk9## h96_ <x96 a95x tx3_ tx5_ m8s_ mxq mxiii mx_plus minix neo-x neo_u m9s s905 s912 amlogic xgimi projector
		starboard cobalt/ changhong skyworth <haier_tv tcl_tv hitv kdl-## kd-## _tv/ googlecast wiidolphin dstv
		freebox orange_stb airties bbox zidoo beelink ugoos nvidia_shield adt-# sei_robotics <sti#### dtt coolcloud
		kiosktv videoweb ekioh/ ciscobrowser ohtv/ pbrm/ kazoku sagemcom technicolor sunniwell diga/ (tv; magentatv
		magenta_tv vodafone_tv entertain_tv swisscom_box sky_glass skyglass <decoder decodeur livebox_tv xstream
		jiostb d2h_ geniatech kaonmedia arris_ enseo/ fusionstb lg_netcast titanos titan_os beyondtv hisensetv
		tcl_androidtv whaletv whale_tv roku_os`},
	{trait: isTV, modelOnly: true, words: `
		<aft <gtv# _box> konka <lebox letv <t95> <t95@ <t95_ _tv> tv_box <atv> <atv_ b866v b860h b860a zxv10 dv8###
		dv6### uie4### diw3## hy44g hg680 ec610 stb# <stb -stb _stb proximus telenet ziggo rostelecom wink_ <dish
		directv jhs@### xiaomi_tv mi_box redmi_tv oneplus_tv realme_tv onn_4k onn._ nokia_streaming streaming_box
		streaming_stick smart_box android_box ott_ <ott ip_tv iptv uhd> <4k_ qled oled smarttv smart_tv googletv
		google_tv chromecast homatics mecool <km# <tanix <hk1 box_r 4kbox <decoder bouygtel bbox freebox philips_tv
		ai_pont beyond_tv tpm### <ai_tv <mtk_tv hisense_tv 4k_tv _4k> claro_box movistar_h telekom_tv`},
	{trait: isTVHint, words: `(linux_armv7l linux_armv6l linux_armv5 linux_mips linux_sh4`},
	{trait: isConsole, words: `
		playstation nintendo <wii> wiiu <psp> <psp_( <ps2> <ps3> ps3app <ps4> <ps5> sonyps xbox_one xbox_series
		dreamcast dreamkey dreampassport planetweb ouya <nds> new_3ds gamestick sega_saturn saturn> gamecube
		gcbrowser jxd gpd_xd archos_gamepad gamepad> pandora_ steam_deck steamdeck atari_vcs libcell cellos`},
	{trait: isXbox, words: `xbox`},
	{trait: isWearable, words: `
		smartwatch smart_watch watchos <watch# apple_watch <watch> zenwatch g_watch gear_s# gear_s> gear_fit
		galaxy_gear moto_360 sm-r### <glass_# oculus <quest_#> <quest) quest_pro> meta_quest picobrowser pico_neo
		pico_4 _vr_safari mobile_vr> wear_os wearos android_wear <wib/ tizen_gear hololens vive_focus fitbit versa>
		applewatch sm-l### (wearable; (watch; galaxy_watch pixel_watch ticwatch huawei_watch apple_vision visionos
		visionpro`},
	{trait: isAppliance, words: `
		fuchsia kindle/# <kindle/ <bnrv3 <bnrv5 kobo_touch (kobo kobo/ tolino pocketbook <onyx boox boeye ereader
		e-reader ebook_reader sony_ebook ebrd1 bookeen cybook <inkpad tesla/ qtcarbrowser tesla_qt android_auto
		carplay automotive> <car_ mbux <uconnect webos_auto familyhub family_hub refrigerator hp_estation canonijcl
		<homepod homepod> alexaservice ^echo/ <aeo@@> aeobc <aeo google_home nest_hub windows_iot digitalmediaplayer
		walkman/ airboard <pda> <pda; sharp_pda psion zaurus qtopia billboard signage brightsign kiosk> infotainment
		coolpix galaxy_camera ek-gc### sm-c101 photoframe photo_frame (car; polestar (smartvision`},
	{trait: isAppliance, modelOnly: true, words: `
		polestar volvo <ihu renault rivian lucid_air honda_ <ford_ chevrolet gmc_ cadillac nissan_ toyota_ automotive
		<aaos mercedes_benz stellantis`},
	{trait: isPhone, words: `
		^kwc- ^audiovox <lg-@# windowsce mqqbrowser/mini htc_ htc/ miuibrowser tizen ppc;_# ninesky msft-wp
		ucbrowser/ ^lg_ epoc32 wapbrowser ^lge ^lgu ^lgl# jig_browser foma> foma; wpdesktop windows_phone
		windowsphone lumia windows_ce windows_mobile wince> wp7 xblwp zunewp pocketpc pocket_pc wm5_ smartphone midp
		cldc j2me up.browser up.link opera_mini opera_mobi ucweb symbian series60 series_60 series40 series80
		series90 s60; s60/ <s40 nokia> nokia# nokia_ nokiabrowser nokiae nokian nokiac nokiax maemo meego harmattan
		blackberry bb10; <bb10 docomo kddi softbank vodafone/ j-phone willcom ddipocket_ ddipocket; emobile profile/
		configuration/ brew_ brew/ brew> brew; palmos palm_os <palm palmsource webos/1 webos/2 webos; bada/ bada;
		bada> dolfin/ netfront/2 obigo teleca semc- sonyeric ericsson ^mot- ^mot_ motorola-v motorolav ^lg- ^lge-
		^lg/ ^lg# ^sie- ^samsung- ^sec- ^sgh- ^sch- ^sph- sgh-# ^alcatel- ^alcatel_ ^benq ^panasonic- ^philips
		^sagem- ^sanyo ^sharp- ^gx- ^toshiba- ^pantech ^nec- ^kyocera ^qc- ^htc ^zte ^huawei ^lenovo- ^lenovo_
		^gionee ^oppo ^vivo ^k-touch ^tianyu ^hisense ^coolpad ^dopod ^micromax ^karbonn ^spice ^lava- ^fly_ ^i-mate
		^hp_ipaq ^haier- ^amoi ^bird ^cect ^nokia ^asus- ^acer- ^palm avantgo blazer/ blazer_ elaine/ eudoraweb
		minimo xiino plucker reqwireless regking jbrowser webpro/ hiptop mmp/ wap/ _wap wap1 wap2 wml> maui_ jasmine
		polaris nucleus/ mtk_ <mre/ mre_ mocordroid fennec kaios firefoxos mobile;_rv (mobile; sailfish jolla
		ubuntu_mobile ubuntu;_mobile ubuntu_touch spreadtrum vre; (vre iuc( juc( skyfire teashark bolt/ iris/ tear/
		microb/ novarra <maui> wtai novafone phone> phone; _phone/ gt-s#### gt-i#### gt-b#### gt-c#### gt-e####
		gt-m#### (phone; phone;_openharmony`},
	{trait: isPuffin, words: `puffin/`},
	{trait: puffinPhone, words: `#ap> #ip> #wp>`},
	{trait: puffinTablet, words: `#at> #it>`},
	{trait: isIPad, words: `ipad`},
	{trait: isIPhone, words: `fbios ios_version /ios> <ios_# <ios/# (ios iphone ipod ios_podcast`},
	{trait: isAppleApp, words: `cfnetwork/ alamofire`},
	{trait: isIOSBrowser, words: `crios/ fxios/ edgios/ opios/ optouch/ opt/# gsa/# duckduckgo/7 mobile/##`},
	{trait: isWinRT, words: `windows_nt_6.2;_arm windows_nt_6.3;_arm`},
	{trait: isSamsungX11, words: `samsungbrowser/`},
	{trait: isWindowsNT, words: `windows_nt_`},
	{trait: isMacApp, words: `(x86_64 (i386 (macbook mac_os macos (imac (macmini (macpro`},
	{trait: isRenderer, words: `applewebkit gecko/ presto/ khtml trident/ opera/`},
	{trait: isTabletWord, words: `
		tablet> tablet; tablet) tablet/ tablet_ tablet# playbook touchpad/ <touchpad hp-tablet rim_tablet xoom> <xoom
		kindle_fire kindle> kindle; silk/ silk-accel transformer> mediapad media_pad`},
	{trait: isTabletWord, modelOnly: true, words: `
		tablet <tab> <tab_ tab> tab# tab_# <pad> pad> <pad_ pad# pad_# -pad pad- -tab tab- galaxy_tab galaxytab
		mi_pad iconia nexus_7 nexus_9 nexus_10 pixel_c> lifetab ideatab transformer memopad memo_pad slider_sl padpro
		honor_pad oppo_pad realme_pad lenovo_yoga_t yoga_tab streak_7 streak_10 dell_venue venue_7 venue_8 venue_10
		archos_7 archos_8 archos_9 archos_10 archos_1## novo# hudl> hudl_ hudl# nook_hd slate> slate_ slate#
		slatebook playbook vtab toughpad arnova surfpad easypad quickpad funpad ipad techpad tegranote tegra_note
		kids kido kidz child touchtab surftab xelio vido_ onda_ cube_ chuwi teclast pipo ainol ramos grid_# le_pan
		lepan viewpad kyros coby prestigio_pmt pmt#### pmp#### tpad tbook twinpad cnmbook plt#### tm#### tlx ployer
		momo# sanei zenithink zt-180 zt180 c71 flytouch wopad herotab dropad epad apad gpad noblex zenpad rca_
		rct#### <rct6 trio_stealth digma_plane plane_ explay_tornado irbis_t# bravis_np globex_gu playtab polypad
		turbopad goodpad mytab mypad yarvik`},
	{trait: isTabletCode, modelOnly: true, words: `
		-w##> -w##@
		<opd2### <pa2### <rmp2### <rod- <eln- <gdi- <brt- <xyao- <yt- 2####rp <d-##@ lgt3# iplay_ iplay# hipad
		sm-t### sm-x### sm-p# gt-p#### gt-n51## gt-n80## sch-i800 sgh-i987 sph-p100 shw-m180 shv-e140 shw-m380
		shw-m480 shw-m485 sgh-t849 sgh-t859 sch-i905 sch-i815 sc-01c shv-e150 <tb-# <tb# lenovotb <tb@### b6000 b8000
		b8080 a1-# a2107 a2109 a3000 a3300 a3500 a5500 a7600 a7-# a10-## s6000 s5000 a8-50 yt3- yt-x yt-j yt-k
		yoga_book kfapwa kfar kfas kfjwa kfjwi kfot kfsawa kfthwa kftt kfrasi kf@@wi kf@@@wi <kf@@@@> <ags- <ags#-
		ags-@ bah- bah#- kob- kob#- <agr- <agm- bzt- bzk- bzi- scmr- scm- mrx- mrr- dby- dby#- wgr- wgrr- dbr- btk-
		bto- btv- bgo- bg2- jdn- jdn#- sht- vrd- cpn- hdn- hey- krj- dbyr- got- agr#- s7-### s8-### s10-### t1-###
		m2-a m2-8 btkr- <p0## <p00@ <p01@ <p02@ <p1d <k0## <k00@ <k01@ me173 me301 me302 me371 me372 me102 me103
		me171 me172 me176 me180 me181 me400 tf101 tf103 tf201 tf300 tf303 tf502 tf600 tf700 tf701 z170 z300 z370 z380
		z500 z580 z581 sgp### sgpt## xperia_z2_tab sot## xperia_tab <v4## <v5## lg-vk### lg-v# <vk### <vs-v
		onetouch_t one_touch_t one_touch_evo7 9005x alcatel_one_touch_p a3-a## b1-7## b1-8## b1-a## b3-a a50# a100>
		a101> a200> a210> a211> a510> a511> a700> a701> w4-8 nx008 lifetab_ mz6## mz5## xt9000 qtaqz qtair qtax
		qtasun <qm# htc_flyer htc_p# htc_jetstream flyer> nexus_9 fz-a fz-m fz-x jt-b1 toughpad hp_slate hp_7 hp_8
		hp_10 slate_7 dmtab at1## at2## at3## at10 at7 thrive folio at-as at400 wax> venue ns-15 ns-14 ns-p bntv
		nuvision tm800 tm101 tmax sm-w### rm-#### ebx <x30 ktab aoc_ hannspad hsg sn10t`},
	{trait: isPhoneCode, words: `
		oneplus lm-@### micromax_a micromaxa xolo_a padfone coolpad passport multiphone nexus_s keypad> launchpad
		ipaddress padgett tabris sm-g### sm-j### sm-a### sm-n### sm-m### sm-s### sm-e### sm-f7## sm-c### gt-i####
		gt-s#### gt-n7### xperia_play`},
	{trait: isLaptop, modelOnly: true, words: `
		chromebook chromebox latitude elitebook thinkpad_t thinkpad_l thinkpad_e vivobook zenbook inspiron macbook
		probook spectre pavilion <aspire optiplex thinkcentre precision xps_ pixelbook virtualbox vmware`},
	{trait: isLaptop, words: `android-x86 androidx86 remix_os phoenixos bliss_os chromebook`},
	{trait: isAndroid, words: `device_model fb4a android andr0id adr_# <adr linux;_u;_adr`},
	{trait: saysMobile, words: `mobile> mobilesafari`},
	{trait: isMac, words: `macintosh mac_powerpc mac_ppc macppc mac_6`},
	{trait: isDesktopOS, words: `
		applesyndication skype_for_business <gvfs/ <intellij webexplorer midori/ sleipnir/ evolution/ barca the_bat!
		pocomail amaya/ apple-pubsub omniweb vimprobable worldwideweb frontpage ms-office msoffice goggalaxy
		windowsnt microsoft_office windows_nt windows; windows_# windows_xp windows_me windows_vista windows> win9#
		win32 win64 win16 winnt macintosh mac68 macos macbook imac mac_ darwin/ x11; x11) <x11> linux <cros> freebsd
		openbsd netbsd dragonfly sunos solaris hp-ux hpux aix> irix osf1 ultrix os/2 os2> haiku beos risc_os amiga
		morphos aros; aros> nextstep openvms vms> vax> unix> <dos qnx syllable inferno ubuntu debian fedora gentoo
		plan_9 atari serenityos warp electron/ <gtk konqueror lynx/ elinks w3m/ netscape3 mosaic itunes/ nsplayer/
		wmplayer/ (pc; (2in1; pc;_openharmony`},
}
